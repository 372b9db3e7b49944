"""What an ncnn model holds, read with nothing but Python: tensors, layers, weights, and who wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from segkit.core.backend import Inspection, Metadata, Precision, TensorInfo
from segkit.core.backend.layouts import anchor_count
from segkit.plugins.ncnn.folder import Files
from segkit.plugins.ncnn.graph import Graph

PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, layers, weights and writer of an ncnn model of any tool; a graph without its weights, too.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    files = Files.of(path)
    graph, metadata, keys = files.graph(), files.metadata(), files.keys()
    facts = dict(_facts(files, graph)) | {key: str(keys[key]) for key in TELLING if keys.get(key)}
    seal = metadata.segkit
    tools = seal.toolchain if seal else {}
    producer = ", ".join(f"{name} {tools[name]}" for name in ("segkit", "pnnx") if name in tools)
    return Inspection(*_tensors(graph, metadata), producer or None, facts)


def _facts(files: Files, graph: Graph) -> Iterator[tuple[str, str]]:
    kinds = Counter(layer.type for layer in graph.layers)
    common = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
    yield "layers", f"{len(graph.layers):,} ({common})"
    yield "outputs", ", ".join(graph.outputs)
    if not files.weights.is_file():
        yield "note", f"the weights, {files.weights.name}, are not beside it: a graph alone cannot run"
        return
    files.verify(graph)
    found, whole = files.located(graph)
    held: Counter[str] = Counter()
    for stored in found:
        held[stored.kind] += stored.block.length
    weighing: Counter[str] = Counter()
    for stored in found:
        if stored.block.tagged:
            weighing[stored.kind] += stored.block.length
    if weighing:
        yield "precision", PRECISIONS[weighing.most_common(1)[0][0]]
    listed = ", ".join(f"{count:,} {kind}" for kind, count in held.most_common())
    if listed:
        yield "weights", f"{listed} in {len(found)} tensors" + ("" if whole else ", and others of unknown layers")


def _tensors(graph: Graph, metadata: Metadata) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and outputs; an ncnn graph names no shapes, so those of outputs are known of files of ours alone."""
    height, width = metadata.imgsz
    free = metadata.dynamic_size
    size: tuple[int | str, ...] = ("height", "width") if free else (height, width)
    inputs = tuple(TensorInfo(name, "float32", (metadata.channels, *size)) for name in graph.inputs)
    seal = metadata.segkit
    if seal is None:
        return inputs, ()
    rows = 4 + len(metadata.names) + seal.coefficients if metadata.names else None
    anchors = "anchors" if free else anchor_count(metadata.imgsz, seal.strides)
    low: tuple[int | str, ...] = ("mask_height", "mask_width") if free else (height // 4, width // 4)
    shapes: tuple[tuple[int | str | None, ...], ...] = ((rows, anchors), (seal.coefficients, *low))
    return inputs, tuple(TensorInfo(name, "float32", shape) for name, shape in zip(graph.outputs, shapes, strict=False))
