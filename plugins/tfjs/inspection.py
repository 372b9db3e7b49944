"""What a graph model holds: tensors, operators, weights, and who wrote it. Needs no runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection, Precision
from segkit.plugins.tfjs.folder import Folder
from segkit.plugins.tfjs.outline import Outline

PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "uint8": Precision.INT8}


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, operators and weights of a graph model of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    folder = Folder.find(path)
    folder.verify()
    metadata, outline = folder.metadata(), folder.outline
    tools = metadata.segkit.toolchain if metadata and metadata.segkit else {}
    producer = ", ".join(f"{name} {tools[name]}" for name in ("segkit", "tensorflow-cpu") if name in tools)
    return Inspection(outline.inputs, outline.outputs, producer or outline.producer, dict(_facts(outline)))


def _facts(outline: Outline) -> Iterator[tuple[str, str]]:
    common = ", ".join(f"{count} {name}" for name, count in outline.operators.most_common(4))
    yield "operators", f"{outline.operators.total():,} ({common})" if common else "none"
    weighing = [kind for kind, _ in outline.weights.most_common() if kind in PRECISIONS]
    if weighing:
        yield "precision", PRECISIONS[weighing[0]]
        listed = ", ".join(f"{count:,} {kind}" for kind, count in outline.weights.most_common() if kind in PRECISIONS)
        files = sum(len(group.files) for group in outline.groups)
        yield "weights", f"{listed} in {files} shard" + "s" * (files != 1)
