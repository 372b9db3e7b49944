"""Selection of detections inside an ONNX graph: the semantics of `segkit.core.inference.decode` in its operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from segkit.core.backend import Selection

_PREFIX = "selection"
_ZERO = np.float32(0)


def add_selection(model: ModelProto, selection: Selection) -> ModelProto:
    """Append a selection of detections to a network, in place.

    An anchor stands for its best class. Boxes of one class compete (all boxes, where `selection.agnostic`): the lower
    of two whose overlap is above `iou` falls. Scores must be above `conf`; equal ones go by anchor. What may differ
    from `decode.select`: NonMaxSuppression divides where that multiplies, so an overlap within one rounding of `iou`
    can be decided otherwise, and all candidates compete, not the best 30 000.

    The new nodes compute in float32, need operator set 13, and work for any batch and size. They belong behind every
    conversion of precision and behind quantisation.

    Args:
        model: its outputs are output0 (B, 4 + nc + nm, A), float32 or float16, boxes as cx, cy, w, h in pixels, and
            output1 (B, nm, H/4, W/4); B, A, H and W may be free.
        selection: the limits to build in.

    Returns:
        `model`; its first output is now, under the same name, (B, max_det, 6 + nm) float32: x1, y1, x2, y2, score,
        class, coefficients, best first; rows without a detection are zero.
    """
    head, prototypes = model.graph.output
    masks = _sides(prototypes)[1].dim_value
    channels, anchors = (side.dim_value for side in _sides(head)[1:])  # 0: free
    graph = _Builder(model.graph)
    raw = graph.rename(head.name)
    if head.type.tensor_type.elem_type != TensorProto.FLOAT:
        raw = graph.add("Cast", raw, to=TensorProto.FLOAT)
    rows = _select(graph, raw, channels - 4 - masks, masks, selection, few=anchors < selection.max_det)
    graph.add("Transpose", rows, perm=[0, 2, 1], output=head.name)
    head.type.tensor_type.elem_type = TensorProto.FLOAT
    for side, length in zip(_sides(head)[1:], (selection.max_det, 6 + masks), strict=True):
        side.dim_value = length
    return model


def _select(graph: _Builder, raw: str, classes: int, masks: int, selection: Selection, *, few: bool) -> str:
    """(B, 4 + nc + nm, A) → (B, 6 + nm, max_det); `few`: there may be fewer than max_det anchors."""
    centre, extent, scores, coefficients = graph.split(raw, [2, 2, classes, masks])
    half = graph.add("Mul", extent, graph.constant(np.float32(0.5)))
    corners = graph.add("Concat", graph.add("Sub", centre, half), graph.add("Add", centre, half), axis=1)
    label = graph.add("ArgMax", scores, axis=1, keepdims=1)
    best = graph.add("GatherElements", scores, label, axis=1)
    rivals = best
    if not selection.agnostic:
        own = graph.add("Equal", label, graph.constant(np.arange(classes)[:, None]))
        rivals = graph.add("Where", own, scores, graph.constant(_ZERO))
    kept = _suppress(graph, corners, rivals, best, selection)
    table = graph.add("Concat", corners, best, graph.add("Cast", label, to=TensorProto.FLOAT), coefficients, axis=1)
    if few:  # TopK refuses to give more than there are
        kept = graph.add("Pad", kept, graph.constant([0, 0, 0, selection.max_det]))
        table = graph.add("Pad", table, graph.constant([0, 0, 0, 0, 0, selection.max_det]))
    return _best_columns(graph, table, kept, 6 + masks, selection.max_det)


def _suppress(graph: _Builder, corners: str, rivals: str, best: str, selection: Selection) -> str:
    """Boxes (B, 4, A), scores of those that compete (B, classes, A), best scores (B, 1, A) → best scores (B, A) of the
    anchors that survive, 0 elsewhere.
    """
    survivors = graph.add(
        "NonMaxSuppression",
        graph.add("Transpose", corners, perm=[0, 2, 1]),
        rivals,
        graph.constant([selection.max_det]),
        graph.constant(np.array([selection.iou], np.float32)),
        graph.constant(np.array([selection.conf], np.float32)),
    )
    place = graph.add("Gather", survivors, graph.constant([0, 2]), axis=1)  # picture, (class,) anchor
    flat = graph.add("Squeeze", best, graph.constant([1]))
    nothing = graph.add("ConstantOfShape", graph.add("Shape", flat))
    return graph.add("ScatterND", nothing, place, graph.add("GatherND", flat, place))


def _best_columns(graph: _Builder, table: str, kept: str, rows: int, count: int) -> str:
    """The `count` columns of (B, rows, A) where (B, A) is highest, in that order; zero where that is not above 0."""
    values, order = graph.add_many("TopK", kept, graph.constant([count]), outputs=2, axis=1)
    middle = graph.constant([1])
    index = graph.add("Expand", graph.add("Unsqueeze", order, middle), graph.constant([1, rows, 1]))
    found = graph.add("Unsqueeze", graph.add("Greater", values, graph.constant(_ZERO)), middle)
    return graph.add("Where", found, graph.add("GatherElements", table, index, axis=2), graph.constant(_ZERO))


def _sides(value: ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


class _Builder:
    """Appends nodes and constants to a graph under names of their own."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph

    def rename(self, name: str) -> str:
        """Give the value `name` another name, which is returned; its own becomes free."""
        other = f"{_PREFIX}/{name}"
        for node in self._graph.node:
            for names in (node.input, node.output):
                for place, used in enumerate(names):
                    if used == name:
                        names[place] = other
        return other

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node with one output; its name."""
        return self.add_many(operator, *inputs, outputs=1, output=output, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, output: str | None = None, **attributes: Any
    ) -> list[str]:
        """A node with several outputs; their names."""
        stem = f"{_PREFIX}/{operator}_{len(self._graph.node)}"
        names = [output] if output else [f"{stem}_output_{number}" for number in range(outputs)]
        self._graph.node.append(helper.make_node(operator, list(inputs), names, name=stem, **attributes))
        return names

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """The parts of axis 1."""
        return self.add_many("Split", value, self.constant(sizes), outputs=len(sizes), axis=1)

    def constant(self, value: Sequence[int] | NDArray[Any] | np.generic) -> str:
        """An initializer; whole numbers are int64."""
        array = np.asarray(value)
        name = f"{_PREFIX}/constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(
            numpy_helper.from_array(array if array.dtype == np.float32 else array.astype(np.int64), name)
        )
        return name
