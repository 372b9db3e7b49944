"""What a SavedModel holds: tensors, operators, weights, and who wrote it. Needs no runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection, Precision
from segkit.plugins.saved_model.folder import Folder
from segkit.plugins.saved_model.outline import Outline

PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, operators and weights of a SavedModel of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    folder = Folder.find(path)
    folder.verify()
    notes, metadata, outline = folder.notes, folder.metadata(), folder.outline
    facts = dict(_facts(outline)) | {key: str(notes[key]) for key in TELLING if notes.get(key)}
    tools = metadata.segkit.toolchain if metadata and metadata.segkit else {}
    made_by = [f"segkit {tools['segkit']}"] if "segkit" in tools else []
    made_by += [f"tensorflow {outline.version}"] if outline.version else []
    return Inspection(
        tuple(port.info for port in outline.inputs),
        tuple(port.info for port in outline.outputs),
        ", ".join(made_by) or None,
        facts,
    )


def _facts(outline: Outline) -> Iterator[tuple[str, str]]:
    yield "signature", outline.signature
    common = ", ".join(f"{count} {name}" for name, count in outline.operators.most_common(4))
    yield "operators", f"{outline.operators.total():,} ({common})" if common else "none"
    weighing = [kind for kind, _ in outline.weights.most_common() if kind in PRECISIONS]
    if weighing:
        yield "precision", PRECISIONS[weighing[0]]
        listed = ", ".join(f"{count:,} {kind}" for kind, count in outline.weights.most_common() if kind in PRECISIONS)
        yield "weights", f"{listed} in the graph"
