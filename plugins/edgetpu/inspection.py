"""What a file for the Edge TPU holds: tensors, and what the compiler said. Needs no runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection, Precision
from segkit.plugins.edgetpu.file import EdgeFile
from segkit.plugins.edgetpu.graph import COMPILED

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs and operators of a file of any tool, and how it was compiled where segkit has done so.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    file = EdgeFile(path)
    file.verify()
    metadata, graph = file.metadata(), file.graph
    tools = metadata.segkit.toolchain if metadata and metadata.segkit else {}
    facts = dict(_facts(file)) | {key: str(file.notes[key]) for key in TELLING if file.notes.get(key)}
    return Inspection(
        tuple(info for _, info in graph.inputs),
        tuple(info for _, info in graph.outputs),
        f"segkit {tools['segkit']}" if "segkit" in tools else None,
        facts,
    )


def _facts(file: EdgeFile) -> Iterator[tuple[str, str]]:
    calls = Counter(call.operator for call in file.graph.calls)
    pieces, rest = calls.pop(COMPILED, 0), ", ".join(f"{times} {name}" for name, times in calls.most_common())
    if pieces:
        yield "operators", f"{pieces} for the Edge TPU" + (f", {rest} for the CPU" if rest else "")
    else:
        yield "operators", f"{calls.total()}, to be compiled ({rest})"
    yield "precision", Precision.INT8
    if file.mapped:
        yield from file.mapped.facts().items()
