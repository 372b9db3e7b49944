"""Frees a graph from the size that it was traced at.

Two things in it depend on the size: the lengths of reshaped tensors, which ncnn can count itself, and the anchors,
which are constants. Those are computed instead, from the maps whose cells they are: a map of nothing but the stride,
summed up along a side, gives the far edges of the cells, and half a stride less their centres.
"""

from __future__ import annotations

from collections.abc import Iterator

from segkit.core.errors import ExportError
from segkit.core.images import Size
from segkit.plugins.ncnn.graph import ANY, ARRAY, Graph, Layer
from segkit.plugins.ncnn.weights import locate, numbers, packed

COUNTED = "-1"
"""A length that ncnn finds out."""

CHANNELS, ROWS, COLUMNS = "0", "1", "2"
"""Axes of a map (channels, height, width)."""


def free_size(graph: Graph, weights: bytes, size: Size, strides: tuple[int, ...]) -> tuple[Graph, bytes]:
    """Graph and weights for inputs of any size.

    Args:
        graph: as it was converted.
        weights: of it.
        size: (height, width) that it was traced at.
        strides: of its levels of anchors.

    Raises:
        ExportError: the graph is built in another way than expected.
    """
    cells = [(size[0] // stride) * (size[1] // stride) for stride in strides]
    constants = [layer for layer in graph.layers if layer.type == "MemoryData"]
    names = {layer.number(1): layer.outputs[0] for layer in constants if layer.number(0) == sum(cells)}
    levels = _levels(graph, cells)
    if len(constants) != 2 or sorted(names) != [1, 2] or levels is None:
        raise ExportError("ncnn", "the anchors were not found in the graph that pnnx made; export without dynamic")
    layers: list[Layer] = []
    grids: list[str] = []
    for layer in graph.layers:
        if layer in levels:
            grids.append(f"grid_{len(grids)}")
            layers += _level(layer, grids[-1], strides[levels.index(layer)])
        if layer.type == "Reshape" and layer.number(0) in (*cells, sum(cells)):  # older converters do so themselves
            layer.parameters[0] = COUNTED
        if layer not in constants:
            layers.append(layer)
        if layer is levels[-1]:
            layers += _joined(grids, centres=names[2], sides=names[1])
    kept = [stored for stored in locate(graph, weights)[0] if stored.block.layer not in constants]
    return Graph(layers), b"".join(packed(numbers(each, weights), tagged=each.block.tagged) for each in kept)


def _levels(graph: Graph, cells: list[int]) -> list[Layer] | None:
    """For each level, finest first, the layer that makes a row of the cells of one of its maps."""
    for layer in graph.layers:
        if layer.type == "Concat" and len(layer.inputs) == len(cells):
            makers = [graph.maker(blob) for blob in layer.inputs]
            lengths = [maker.number(0) for maker in makers if maker.type == "Reshape"]
            if lengths in (cells, [int(COUNTED)] * len(cells)):
                return makers
    return None


def _level(row: Layer, grid: str, stride: int) -> Iterator[Layer]:
    """Layers that give `grid` (3, cells): x and y of the centres, and the stride; `row` shares its map with them."""
    taken = row.inputs[0]
    row.inputs[0] = f"{grid}_map"
    yield Layer("Split", f"{grid}_split", [taken], [row.inputs[0], f"{grid}_like"])
    one = {0: "0", 1: "0", 2: "0", 3: str(ANY), 4: str(ANY), 5: "1"}
    yield Layer("Crop", f"{grid}_crop", [f"{grid}_like"], [f"{grid}_one"], one)
    yield Layer("Clip", f"{grid}_clip", [f"{grid}_one"], [f"{grid}_flat"], {0: f"{stride}.0", 1: f"{stride}.0"})
    copies = [f"{grid}_{name}" for name in ("columns", "rows", "sides")]
    yield Layer("Split", f"{grid}_copies", [f"{grid}_flat"], copies)
    yield Layer("CumulativeSum", f"{grid}_x", [copies[0]], [f"{grid}_right"], {0: COLUMNS})
    yield Layer("CumulativeSum", f"{grid}_y", [copies[1]], [f"{grid}_lower"], {0: ROWS})
    yield Layer("Concat", f"{grid}_xy", [f"{grid}_right", f"{grid}_lower"], [f"{grid}_edges"], {0: CHANNELS})
    half = {0: "1", 1: "1", 2: f"{stride / 2}"}  # less a number
    yield Layer("BinaryOp", f"{grid}_centre", [f"{grid}_edges"], [f"{grid}_centres"], half)
    yield Layer("Concat", f"{grid}_xys", [f"{grid}_centres", copies[2]], [f"{grid}_all"], {0: CHANNELS})
    yield Layer("Reshape", f"{grid}_row", [f"{grid}_all"], [grid], {0: COUNTED, 1: "3"})


def _joined(grids: list[str], centres: str, sides: str) -> Iterator[Layer]:
    """Layers that give what the constants were: (2, anchors) and (1, anchors)."""
    yield Layer("Concat", "grid", grids, ["grid"], {0: "1"})
    yield Layer("Slice", "grid_parts", ["grid"], [centres, sides], {ARRAY: f"2,2,{ANY}", 1: "0"})
