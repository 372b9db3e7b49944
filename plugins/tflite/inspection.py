"""What a file of TensorFlow Lite holds: tensors, operators, weights, and who wrote it. Needs no runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection, Precision
from segkit.plugins.tflite.file import LiteFile
from segkit.plugins.tflite.outline import Outline

PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, operators and weights of a file of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    file = LiteFile(path)
    file.verify()
    metadata, outline = file.metadata(), file.outline
    tools = metadata.segkit.toolchain if metadata and metadata.segkit else {}
    producer = ", ".join(f"{name} {tools[name]}" for name in ("segkit", "tensorflow-cpu") if name in tools)
    facts = dict(_facts(outline)) | {key: str(file.notes[key]) for key in TELLING if file.notes.get(key)}
    return Inspection(
        tuple(port.info for port in outline.inputs),
        tuple(port.info for port in outline.outputs),
        producer or outline.description or None,
        facts,
    )


def _facts(outline: Outline) -> Iterator[tuple[str, str]]:
    common = ", ".join(f"{count} {name}" for name, count in outline.operators.most_common(4))
    yield "operators", f"{outline.operators.total():,} ({common})" if common else "none"
    weighing = [kind for kind, _ in outline.weights.most_common() if kind in PRECISIONS]
    if weighing:
        yield "precision", PRECISIONS[weighing[0]]
        listed = ", ".join(f"{count:,} {kind}" for kind, count in outline.weights.most_common())
        yield "weights", listed
