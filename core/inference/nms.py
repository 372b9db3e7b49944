"""Greedy non-maximum suppression in numpy."""

from __future__ import annotations

from typing import Any

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
        for start in range(0, len(xyxy), BLOCK):
            block = np.arange(start, min(start + BLOCK, len(xyxy)))
            if len(kept):
                block = block[~_overlaps(xyxy, groups, kept, block, iou).any(axis=0)]
            block = block[_greedy(_overlaps(xyxy, groups, block, block, iou))]
            kept = np.concatenate([kept, block])
            if len(kept) >= limit:
                break
    return kept[:limit]


def _greedy(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who survives among boxes, best first, given who overlaps whom: (M, M) → (M,)."""
    later = np.triu(overlaps, 1)
    alive = np.ones(len(overlaps), np.bool_)
    for index in np.flatnonzero(later.any(axis=1)):
        if alive[index]:
            alive &= ~later[index]
    return alive


def _overlaps(
    xyxy: NDArray[np.float32],
    groups: NDArray[np.integer[Any]] | None,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    iou: float,
) -> NDArray[np.bool_]:
    """(R, C): whether the boxes `rows` and `columns` are of one group and overlap by an IoU above `iou`."""
    left, top, right, bottom = xyxy[columns].T
    left_of, top_of, right_of, bottom_of = xyxy[rows].T[:, :, None]
    shared = np.minimum(right, right_of)
    shared -= np.maximum(left, left_of)
    np.maximum(shared, 0, out=shared)
    height = np.minimum(bottom, bottom_of)
    height -= np.maximum(top, top_of)
    shared *= np.maximum(height, 0, out=height)
    union = (right - left) * (bottom - top) + (right_of - left_of) * (bottom_of - top_of)
    union -= shared
    union *= np.float32(iou)  # a product needs no division by the empty union of two degenerate boxes
    found: NDArray[np.bool_] = shared > union
    if groups is not None:
        found &= groups[rows][:, None] == groups[columns]
    return found
