"""How much of two objects is the same: intersection over union of boxes and of masks, as COCO defines it.

A crowd is a region, not an object: what lies in it is measured by how much of itself lies there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.runs import Runs

Floats = NDArray[np.float64]


def box_areas(boxes: Floats) -> Floats:
    """(N,) width times height of (N, 4) x1, y1, x2, y2."""
    area: Floats = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def box_overlaps(found: Floats, truth: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """(N, M) IoU of boxes (N, 4) with boxes (M, 4); with a crowd, the share of the found box."""
    shared = _shared(found, truth)
    return _share(shared, box_areas(found), box_areas(truth), crowd)


def mask_overlaps(
    found: Runs, truth: Runs, crowd: NDArray[np.bool_], wanted: NDArray[np.bool_], least: float
) -> Floats:
    """(N, M) IoU of masks; with a crowd, the share of the found mask.

    Pairs that are not `wanted` (N, M), and those whose areas and extents alone say that they stay below `least`, are
    not compared: they get 0.
    """
    areas, others = found.areas, truth.areas
    most = np.minimum(_shared(found.extents(), truth.extents()), np.minimum(areas[:, None], others))
    near = wanted & (most > 0) & (_share(most, areas, others, crowd) >= least - 1e-9)
    mine, theirs = np.nonzero(near)
    shared = np.zeros(most.shape)
    shared[mine, theirs] = found.shared(mine, truth, theirs)
    return _share(shared, areas, others, crowd)


def _shared(found: Floats, truth: Floats) -> Floats:
    width = np.minimum(found[:, None, 2], truth[:, 2]) - np.maximum(found[:, None, 0], truth[:, 0])
    height = np.minimum(found[:, None, 3], truth[:, 3]) - np.maximum(found[:, None, 1], truth[:, 1])
    area: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return area


def _share(shared: Floats, areas: Floats, others: Floats, crowd: NDArray[np.bool_]) -> Floats:
    whole = np.where(crowd, areas[:, None], areas[:, None] + others - shared)
    overlaps: Floats = np.divide(shared, whole, out=np.zeros(shared.shape), where=shared > 0)
    return overlaps
