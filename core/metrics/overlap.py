"""How much of two objects is the same: intersection over union of boxes and of masks, as COCO defines it.

A crowd is a region, not an object: what lies in it is measured by how much of itself lies there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.masks import Masks
from segkit.core.metrics.runs import Integers

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def box_areas(boxes: Floats) -> Floats:
    """(N,) width times height of (N, 4) x1, y1, x2, y2."""
    area: Floats = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def box_overlaps(found: Floats, truth: Floats, crowd: Flags) -> Floats:
    """(N, M) IoU of boxes (N, 4) with boxes (M, 4); with a crowd, the share of the found box."""
    shared = _shared(found, truth)
    return _share(shared, box_areas(found), box_areas(truth), crowd)


def mask_overlaps(
    found: Masks, order: Integers, truth: Masks, crowd: Flags, wanted: Flags, least: float, edges: Sequence[float]
) -> tuple[Floats, Floats]:
    """(N, M) IoU of masks, with a crowd the share of the found mask; and (N,) pixels of the found masks.

    Pairs that are not `wanted` (N, M), and those whose windows alone say that they stay below `least`, are not
    compared: they get 0. Of a mask in no pair the number of pixels is only known to lie on its side of each of `edges`.

    Args:
        found: the masks.
        order: (N,) which of them, in which order.
        truth: M masks.
        crowd: (M,) which of these are crowds.
        wanted: (N, M).
        least: overlap from which a pair is of interest.
        edges: areas that matter.
    """
    others = truth.areas(np.arange(len(truth)))
    most = np.minimum(_shared(found.windows[order], truth.windows), others)
    near = wanted & (most > 0) & (crowd | (most >= (least - 1e-9) * others))
    rows, columns = np.nonzero(near)
    shared = np.zeros(most.shape)
    shared[rows, columns] = found.shared(order[rows], truth, columns)
    close = near.any(axis=1)
    areas = np.empty(len(order))
    areas[close], areas[~close] = found.areas(order[close]), found.areas(order[~close], edges)
    return _share(shared, areas, others, crowd), areas


def _shared(found: Floats, truth: Floats) -> Floats:
    width = np.minimum(found[:, None, 2], truth[:, 2]) - np.maximum(found[:, None, 0], truth[:, 0])
    height = np.minimum(found[:, None, 3], truth[:, 3]) - np.maximum(found[:, None, 1], truth[:, 1])
    area: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return area


def _share(shared: Floats, areas: Floats, others: Floats, crowd: Flags) -> Floats:
    whole = np.where(crowd, areas[:, None], areas[:, None] + others - shared)
    overlaps: Floats = np.divide(shared, whole, out=np.zeros(shared.shape), where=shared > 0)
    return overlaps
