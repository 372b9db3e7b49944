"""Selection of detections inside an OpenVINO graph: the semantics of `segkit.core.inference.decode` in its operators.

OpenVINO's own operator for it compares a quotient with the threshold, where segkit compares a product. Here the best
box that is left is taken and all that it overlaps fall, in a loop that ends when none is left: as many turns as there
are detections in the picture with the most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.core.backend import Selection
from segkit.plugins.openvino.runtime import ops, ov

_CORNERS = 4
_ANCHORS = 2
"""Axis of the anchors in everything here: (B, rows, A)."""


def add_selection(model: ov.Model, selection: Selection) -> ov.Model:
    """A network with a selection of detections behind it.

    An anchor stands for its best class. Boxes of one class compete (all boxes, where `selection.agnostic`): the lower
    of two whose overlap is above `iou` falls. Scores must be above `conf`; equal ones go by anchor. Decisions are those
    of `decode.select` to the last bit, but for its limit of 30 000 candidates: here all compete.

    Args:
        model: its outputs are output0 (B, 4 + nc + masks, A) float32, boxes as cx, cy, w, h in pixels, and output1
            (B, masks, H/4, W/4); B, A, H and W may be free.
        selection: the limits to build in.

    Returns:
        A model whose first output is (B, max_det, 6 + masks) float32: x1, y1, x2, y2, score, class, coefficients, best
        first; rows without a detection are zero.
    """
    head, prototypes = (result.input_value(0) for result in model.get_results())
    masks = prototypes.get_partial_shape()[1].get_length()
    return ov.Model([_select(head, masks, selection), prototypes], model.get_parameters())


def _select(head: ov.Output, masks: int, selection: Selection) -> ov.Output:
    """(B, 4 + nc + masks, A) → (B, max_det, 6 + masks)."""
    classes = head.get_partial_shape()[1].get_length() - _CORNERS - masks
    boxes, scores, coefficients = _split(head, [_CORNERS, classes, masks])
    centre, extent = _split(boxes, [2, 2])
    half = ops.multiply(extent, _number(0.5))
    corners = ops.concat([ops.subtract(centre, half), ops.add(centre, half)], 1)
    best = ops.reduce_max(scores, _axes(1), keep_dims=True)
    numbers = ops.constant(np.arange(classes, dtype=np.float32)[None, :, None])
    label = _lowest(ops.equal(scores, best), numbers, 1)
    finite = ops.reduce_logical_and(ops.less(ops.abs(boxes), _number(np.inf)), _axes(1), keep_dims=True)
    candidate = ops.logical_and(ops.greater(best, _number(selection.conf)), finite)
    waiting = ops.select(candidate, best, _number(0))
    places, found = _suppress(waiting, corners, label, selection)
    table = ops.concat([corners, best, label, coefficients], 1)
    return _columns(table, places, found, selection.max_det)


def _suppress(waiting: ov.Node, corners: ov.Node, label: ov.Node, selection: Selection) -> tuple[ov.Output, ov.Output]:
    """Scores of the candidates (B, 1, A), 0 elsewhere, their boxes (B, 4, A) and classes (B, 1, A) → places (B, 1, N)
    of those that survive, best first, and whether there is one: N is that of the picture with the most.
    """
    left, top, right, bottom = _split(corners, [1] * _CORNERS)
    area = ops.multiply(ops.subtract(right, left), ops.subtract(bottom, top))
    rivals = ops.concat([corners, area, label], 1)
    count = ops.gather(ops.shape_of(waiting), ops.constant(_ANCHORS), ops.constant(0))
    places = ops.range(ops.constant(0), ops.convert(count, "i32"), ops.constant(1), output_type="f32")

    body = _Turn(selection)
    loop = ops.loop(ops.constant(selection.max_det), ops.constant(True))
    loop.set_function(body.model)
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(body.waiting, waiting.output(0), body.waits_on.output(0))
    loop.set_invariant_input(body.rivals, rivals.output(0))
    loop.set_invariant_input(body.places, places.output(0))
    first, found = (
        loop.get_concatenated_slices(each.output(0), 0, 1, 1, -1, _ANCHORS) for each in (body.first, body.found)
    )
    return first, found


class _Turn:
    """One turn of the loop, as a model of its own: in every picture the best that waits is chosen, and those that it
    overlaps wait no more.

    Attributes:
        waiting: (B, 1, A) scores that come in.
        rivals: (B, 6, A) corners, area, class.
        places: (A,) 0, 1, 2, …
        waits_on: (B, 1, A) scores that go on.
        first: (B, 1, 1) place of the one that is chosen.
        found: (B, 1, 1) 1 where there was one to choose, else 0.
        model: all of it; its first output tells whether any waits on.
    """

    def __init__(self, selection: Selection) -> None:
        self.waiting = ops.parameter([-1, 1, -1], ov.Type.f32)
        self.rivals, self.places = ops.parameter([-1, 6, -1], ov.Type.f32), ops.parameter([-1], ov.Type.f32)
        best = ops.reduce_max(self.waiting, _axes(_ANCHORS), keep_dims=True)
        self.first = _lowest(ops.equal(self.waiting, best), self.places, _ANCHORS)
        self.found = ops.convert(ops.greater(best, _number(0)), "f32")
        chosen = ops.equal(self.places, self.first)
        own = ops.reduce_sum(ops.select(chosen, self.rivals, _number(0)), _axes(_ANCHORS), keep_dims=True)
        fallen = ops.logical_or(_overlap(self.rivals, own, selection), chosen)
        self.waits_on = ops.select(fallen, _number(0), self.waiting)
        on = ops.greater(ops.reduce_max(self.waits_on, _axes(0, 1, 2), keep_dims=False), _number(0))
        outputs = [on, self.waits_on, self.first, self.found]
        self.model = ov.Model(outputs, [self.waiting, self.rivals, self.places], "turn")


def _overlap(rivals: ov.Node, own: ov.Node, selection: Selection) -> ov.Node:
    """Whether each of the boxes (B, 6, A) overlaps the one (B, 6, 1) by an IoU above the threshold: (B, 1, A)."""
    left, top, right, bottom, area, label = _split(rivals, [1] * 6)
    own_left, own_top, own_right, own_bottom, own_area, own_label = _split(own, [1] * 6)
    width = ops.subtract(ops.minimum(right, own_right), ops.maximum(left, own_left))
    height = ops.subtract(ops.minimum(bottom, own_bottom), ops.maximum(top, own_top))
    shared = ops.multiply(ops.maximum(width, _number(0)), ops.maximum(height, _number(0)))
    union = ops.subtract(ops.add(area, own_area), shared)
    found = ops.greater(shared, ops.multiply(union, _number(selection.iou)))
    return found if selection.agnostic else ops.logical_and(found, ops.equal(label, own_label))


def _columns(table: ov.Node, places: ov.Output, found: ov.Output, count: int) -> ov.Output:
    """Those columns of (B, rows, A) as `count` rows (B, count, rows), filled up with zeros."""
    rows = table.get_output_partial_shape(0)[1].get_length()
    index = ops.broadcast(ops.convert(places, "i32"), ops.constant([1, rows, 1]), broadcast_spec="BIDIRECTIONAL")
    columns = ops.select(ops.greater(found, _number(0)), ops.gather_elements(table, index, _ANCHORS), _number(0))
    ends = ops.constant([0, 0, 0]), ops.constant([0, 0, count])
    filled = ops.slice(ops.pad(columns, *ends, "constant", _number(0)), *map(ops.constant, ([0], [count], [1], [2])))
    return ops.reshape(
        ops.transpose(filled, ops.constant([0, 2, 1])), ops.constant([0, count, rows]), special_zero=True
    ).output(0)


def _lowest(where: ov.Node, numbers: ov.Node, axis: int) -> ov.Node:
    """The least of `numbers` along `axis` of those that are marked; that axis stays, with one side."""
    return ops.reduce_min(ops.select(where, numbers, _number(np.inf)), _axes(axis), keep_dims=True)


def _split(value: ov.Node | ov.Output, sizes: Sequence[int]) -> list[ov.Output]:
    """The parts of axis 1."""
    parts: list[ov.Output] = ops.variadic_split(value, ops.constant(1), ops.constant(list(sizes))).outputs()
    return parts


def _number(value: float) -> ov.Node:
    return ops.constant(np.float32(value))


def _axes(*axes: int) -> ov.Node:
    return ops.constant(list(axes))
