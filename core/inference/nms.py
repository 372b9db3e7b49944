"""Greedy non-maximum suppression in numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 128
"""Boxes compared at a time: enough to keep numpy busy, few enough to stop soon after `limit` boxes are kept."""


def suppress(
    xyxy: NDArray[np.float32], groups: NDArray[np.integer[Any]] | None, iou: float, limit: int
) -> NDArray[np.int64]:
    """Indices of the boxes that survive, ascending.

    A box falls when a surviving box before it (in its own group) overlaps it by an IoU above `iou`. The arithmetic is
    float32 on the boxes as they are. The common trick of moving each class far away, so that one pass serves them all,
    rounds the boxes of class 79 to a sixteenth of a pixel and changes what is kept.

    Args:
        xyxy: (N, 4) float32 boxes, best first, finite.
        groups: (N,) whole numbers, boxes of different groups never compete; None: all compete (class-agnostic).
        iou: threshold, strict.
        limit: stop after this many.
    """
    kept = np.empty(0, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):  # absurdly large boxes have infinite areas and suppress nothing
        boxes = _Boxes.of(xyxy, groups)
        for start in range(0, len(xyxy), BLOCK):
            block = np.arange(start, min(start + BLOCK, len(xyxy)))
            if len(kept):
                block = block[~_overlaps(boxes.some(kept), boxes.some(block), iou).any(axis=0)]
            some = boxes.some(block)
            block = block[_greedy(_overlaps(some, some, iou))]
            kept = np.concatenate([kept, block])
            if len(kept) >= limit:
                break
    return kept[:limit]


def _greedy(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who survives among boxes, best first, given who overlaps whom: (M, M) → (M,)."""
    # One whole number a row, with a bit for each later box that it overlaps: far quicker than a row of an array.
    packed = np.packbits(np.triu(overlaps, 1), axis=1, bitorder="little")
    width, rows, fallen = packed.shape[1], packed.tobytes(), 0
    for index in range(len(overlaps)):
        if not fallen >> index & 1:
            fallen |= int.from_bytes(rows[index * width : (index + 1) * width], "little")
    bits = np.frombuffer(fallen.to_bytes(width, "little"), np.uint8)
    alive: NDArray[np.bool_] = np.unpackbits(bits, count=len(overlaps), bitorder="little") == 0
    return alive


class _Boxes(NamedTuple):
    """Corners (4, N), areas (N,) and groups (N,), column by column."""

    corners: NDArray[np.float32]
    areas: NDArray[np.float32]
    groups: NDArray[np.integer[Any]] | None

    @classmethod
    def of(cls, xyxy: NDArray[np.float32], groups: NDArray[np.integer[Any]] | None) -> _Boxes:
        left, top, right, bottom = corners = np.ascontiguousarray(xyxy.T)
        return cls(corners, (right - left) * (bottom - top), groups)

    def some(self, index: NDArray[np.int64]) -> _Boxes:
        return _Boxes(self.corners[:, index], self.areas[index], None if self.groups is None else self.groups[index])


def _overlaps(rows: _Boxes, columns: _Boxes, iou: float) -> NDArray[np.bool_]:
    """(R, C): whether boxes are of one group and overlap by an IoU above `iou`."""
    left, top, right, bottom = columns.corners
    left_of, top_of, right_of, bottom_of = rows.corners[:, :, None]
    shared = np.minimum(right, right_of)
    shared -= np.maximum(left, left_of)
    np.maximum(shared, 0, out=shared)
    height = np.minimum(bottom, bottom_of)
    height -= np.maximum(top, top_of)
    shared *= np.maximum(height, 0, out=height)
    union = columns.areas + rows.areas[:, None]
    union -= shared
    union *= np.float32(iou)  # a product needs no division by the empty union of two degenerate boxes
    found: NDArray[np.bool_] = shared > union
    if rows.groups is not None:
        found &= rows.groups[:, None] == columns.groups
    return found
