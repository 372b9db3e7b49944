"""What an OpenVINO file holds, read without the runtime: tensors, operators, weights, and who wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection
from segkit.plugins.openvino.folder import Folder, open_folder
from segkit.plugins.openvino.graph import Graph

PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8", "uint8": "int8"}
"""Element type of most weights → what the file is said to compute in."""

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, writer, operators and weights of an OpenVINO file of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged (and where).
    """
    folder = open_folder(path)
    folder.verify()
    graph, described = folder.graph, folder.described
    facts = dict(_facts(graph)) | {key: str(described[key]) for key in TELLING if described.get(key)}
    return Inspection(graph.inputs, graph.outputs, _producer(folder), facts)


def _producer(folder: Folder) -> str | None:
    """Who wrote it: segkit where it says so, and OpenVINO."""
    sealed = folder.metadata().segkit
    tools = sealed.toolchain if sealed else {}
    ours = f"segkit {tools.get('segkit', '')}".strip() if sealed else ""
    version = folder.graph.runtime.partition("-")[0] or tools.get("openvino")  # older ones do not write it
    runtime = f"OpenVINO {version}" if version else ""
    return ", ".join(filter(None, [ours, runtime])) or None


def _facts(graph: Graph) -> Iterator[tuple[str, str]]:
    yield "IR version", graph.version
    common = ", ".join(f"{count} {name}" for name, count in graph.operators.most_common(4))
    yield "operators", f"{graph.operators.total():,} ({common})" if common else "none"
    weighing = Counter({kind: count for kind, count in graph.numbers.items() if kind in PRECISIONS})
    if weighing:
        yield "precision", PRECISIONS[weighing.most_common(1)[0][0]]
    listed = ", ".join(f"{count:,} {kind}" for kind, count in graph.numbers.most_common())
    if listed:
        yield "weights", f"{listed} in {graph.constants} tensors"
    if kind := graph.info.get("model_type"):
        yield "Model API", kind
