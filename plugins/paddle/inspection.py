"""What a folder of Paddle holds: tensors, operators, parameters, and who wrote it. Needs no runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from segkit.core.backend import Inspection, Precision, TensorInfo
from segkit.plugins.paddle.folder import Folder
from segkit.plugins.paddle.outline import Outline

PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, operators and parameters of a folder of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    folder = Folder.find(path)
    folder.verify()
    notes, metadata, outline = folder.notes(), folder.metadata(), folder.outline
    facts = dict(_facts(outline)) | {key: str(notes[key]) for key in TELLING if notes.get(key)}
    producer = None
    if metadata and metadata.segkit:
        tools = metadata.segkit.toolchain
        producer = ", ".join(f"{name} {tools[name]}" for name in ("segkit", "paddlepaddle") if name in tools) or None
    return Inspection(outline.inputs, outline.outputs, producer, facts)


def _facts(outline: Outline) -> Iterator[tuple[str, str]]:
    yield "program", outline.kind
    common = ", ".join(f"{count} {name}" for name, count in outline.operators.most_common(4))
    yield "operators", f"{outline.operators.total():,} ({common})" if common else "none"
    numbers: Counter[str] = Counter()
    for tensor in outline.parameters:
        numbers[tensor.dtype] += _count(tensor)
    weighing = [kind for kind, _ in numbers.most_common() if kind in PRECISIONS]
    if weighing:
        yield "precision", PRECISIONS[weighing[0]]
    if numbers:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in numbers.most_common())
        yield "weights", f"{listed} in {len(outline.parameters)} tensors"


def _count(tensor: TensorInfo) -> int:
    return prod(side if isinstance(side, int) else 0 for side in tensor.shape)
