"""Selection of detections inside TensorFlow's graph: the semantics of `segkit.core.inference.decode` in its operators.

TensorFlow's own operator for it compares a quotient with the threshold, where segkit compares a product. Here the best
box that is left is taken and all that it overlaps fall, in a loop that ends when none is left: as many turns as there
are detections in the picture with the most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from segkit.core.backend import Selection
from segkit.plugins.shared.tensorflow import tf


def select(head: Any, masks: int, selection: Selection) -> Any:
    """The rows of each picture's detections, best first.

    An anchor stands for its best class. Boxes of one class compete (all boxes, where `selection.agnostic`): the lower
    of two whose overlap is above `iou` falls. Scores must be above `conf`; equal ones go by anchor. Decisions are those
    of `decode.select` to the last bit, but for its limit of 30 000 candidates: here all compete.

    Args:
        head: (B, A, 4 + nc + masks) float32, boxes as cx, cy, w, h in pixels; B and A may be free.
        masks: number of mask coefficients.
        selection: the limits to build in.

    Returns:
        (B, max_det, 6 + masks) float32: x1, y1, x2, y2, score, class, coefficients; rows without a detection are zero.
    """
    boxes, scores, coefficients = tf.split(head, [4, head.shape[2] - 4 - masks, masks], 2)
    centre, extent = tf.split(boxes, 2, 2)
    half = extent * 0.5
    corners = tf.concat([centre - half, centre + half], 2)
    scores = tf.where(tf.math.is_nan(scores), 0.0, scores)
    best = tf.reduce_max(scores, 2)
    numbers = tf.range(scores.shape[2], dtype=tf.float32)
    label = tf.reduce_min(tf.where(scores == best[:, :, None], numbers, float("inf")), 2)
    finite = tf.reduce_all(tf.math.is_finite(boxes), 2) & tf.math.is_finite(best)
    waiting = tf.where((best > selection.conf) & finite, best, 0.0)
    places, found = _survivors(waiting, _Boxes.of(corners, label), selection)
    table = tf.concat([corners, best[:, :, None], label[:, :, None], coefficients], 2)
    rows = tf.where(found[:, :, None], tf.gather(table, places, axis=1, batch_dims=1), 0.0)
    return tf.ensure_shape(rows, [head.shape[0], selection.max_det, 6 + masks])


class _Boxes(NamedTuple):
    """Corners, areas and classes, (B, A) each; or those of one box a picture, (B, 1)."""

    left: Any
    top: Any
    right: Any
    bottom: Any
    area: Any
    label: Any

    @classmethod
    def of(cls, corners: Any, label: Any) -> _Boxes:
        left, top, right, bottom = tf.unstack(corners, axis=2)
        return cls(left, top, right, bottom, (right - left) * (bottom - top), label)

    def at(self, place: Any) -> _Boxes:
        """Those at `place` (B, 1)."""
        return _Boxes(*(tf.gather(part, place, axis=1, batch_dims=1) for part in self))

    def overlap(self, one: _Boxes, selection: Selection) -> Any:
        """Whether each overlaps that one by an IoU above the threshold, and competes with it: (B, A)."""
        width = tf.minimum(self.right, one.right) - tf.maximum(self.left, one.left)
        height = tf.minimum(self.bottom, one.bottom) - tf.maximum(self.top, one.top)
        shared = tf.maximum(width, 0.0) * tf.maximum(height, 0.0)
        over = shared > (self.area + one.area - shared) * selection.iou
        return over if selection.agnostic else over & (self.label == one.label)


def _survivors(waiting: Any, boxes: _Boxes, selection: Selection) -> tuple[Any, Any]:
    """Scores of the candidates (B, A), 0 elsewhere → places (B, max_det) of those that survive, best first, and whether
    there is one.
    """
    pictures, anchors = tf.unstack(tf.shape(waiting))
    numbers = tf.range(anchors)

    def goes_on(turn: Any, waiting: Any, places: Any, found: Any) -> Any:
        return (turn < selection.max_det) & tf.reduce_any(waiting > 0)

    def turn_of(turn: Any, waiting: Any, places: Any, found: Any) -> Any:
        best = tf.reduce_max(waiting, 1, keepdims=True)
        first = tf.reduce_min(tf.where(waiting == best, numbers, anchors), 1, keepdims=True)
        fallen = boxes.overlap(boxes.at(first), selection) | (numbers == first)
        waits_on = tf.where(fallen, 0.0, waiting)
        return turn + 1, waits_on, tf.concat([places, first], 1), tf.concat([found, best > 0], 1)

    none = tf.zeros([pictures, 0], tf.int32), tf.zeros([pictures, 0], tf.bool)
    rows = [waiting.shape[0], None]
    shapes = tuple(tf.TensorShape(sides) for sides in ([], waiting.shape, rows, rows))
    turns, _, *chosen = tf.while_loop(goes_on, turn_of, (0, waiting, *none), shapes)
    ends = [[0, 0], [0, selection.max_det - turns]]
    places, found = (tf.pad(part, ends) for part in chosen)
    return places, found
