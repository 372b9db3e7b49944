"""Which detection gets which object, for all thresholds and sizes of objects at once.

Detections choose in the order of their confidence, objects of their own class only. COCO's rules, in four lanes by the
size of objects: a detection takes the free object that it overlaps most, one that counts before one that does not;
crowds and objects of other sizes do not count, and crowds are never used up. What takes such an object, or takes none
and has another size itself, is ignored. The plain rules, in a fifth lane: crowds are not there and every size counts.

Source: Lin et al., Microsoft COCO: Common Objects in Context, 2014, and the evaluation on https://cocodataset.org.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.coco import LARGE, MEDIUM

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""(T,) IoU from which a detection is right."""

SIZES: dict[str, tuple[float, float]] = {
    "all": (0, 1e10),
    "small": (0, MEDIUM),
    "medium": (MEDIUM, LARGE),
    "large": (LARGE, 1e10),
}
"""Pixels of the objects that each COCO lane counts, both ends included."""

EDGES = (MEDIUM, LARGE)
"""Pixels at which the lanes part."""

PLAIN = len(SIZES)
"""The lane of the plain rules."""

LANES = len(SIZES) + 1


@dataclass(frozen=True, eq=False)
class Matched:
    """What became of N detections, by boxes (0) and masks (1) where there are any: both (N, K, lanes, T) bool.

    Attributes:
        right: took an object that counts.
        wrong: took nothing. Neither right nor wrong is what is ignored.
    """

    right: Flags
    wrong: Flags


def outside(areas: Floats) -> Flags:
    """(4, N) which areas are not of the size that each COCO lane counts."""
    low, high = np.array(list(SIZES.values())).T[:, :, None]
    flags: Flags = (areas < low) | (areas > high)
    return flags


def match(
    overlaps: Floats, classes: NDArray[np.int64], areas: Floats, truth: NDArray[np.int64], crowd: Flags, ignored: Flags
) -> Matched:
    """Match N detections in descending order of confidence with M objects.

    Args:
        overlaps: (K, N, M) IoU, by boxes and by masks.
        classes: (N,) of the detections.
        areas: (K, N) pixels of the detections.
        truth: (M,) classes of the objects.
        crowd: (M,) which are crowds.
        ignored: (lanes, M) which do not count.
    """
    kinds, count, _ = overlaps.shape
    right = np.zeros((count, kinds, LANES, len(THRESHOLDS)), np.bool_)
    wrong = np.ones_like(right)
    for kind in range(kinds):
        wrong[:, kind, :PLAIN] = ~outside(areas[kind]).T[:, :, None]
    near = (overlaps >= THRESHOLDS[0]).any(axis=0) & (classes[:, None] == truth)
    for label in np.unique(truth[near.any(axis=0)]):
        objects = np.flatnonzero(truth == label)
        chosen = np.flatnonzero(near[:, objects].any(axis=1))
        taken, counted = _assign(overlaps[:, chosen][:, :, objects], crowd[objects], ignored[:, objects])
        right[chosen] = counted
        wrong[chosen] &= ~taken
    return Matched(right, wrong)


def _assign(overlaps: Floats, crowd: Flags, ignored: Flags) -> tuple[Flags, Flags]:
    """Detections of one class, in order, take objects of that class: (N, K, lanes, T) took any, and one that counts."""
    kinds, count, objects = overlaps.shape
    # A detection's order of preference as numbers without ties; of equal overlaps COCO takes the last.
    rank = 1 + np.argsort(np.argsort(overlaps, axis=2, kind="stable"), axis=2)
    value = rank[:, :, None, None, :] + (objects * ~ignored)[:, None, :]
    reach = overlaps[:, :, None, None, :] >= np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    free = np.ones((kinds, LANES, len(THRESHOLDS), objects), np.bool_)
    free[:, PLAIN] = ~crowd
    best = np.empty((count, kinds, LANES, len(THRESHOLDS)), np.int64)
    for index in range(count):
        offers = value[:, index] * (reach[:, index] & free)
        top = offers.max(axis=-1, keepdims=True)
        best[index] = top[..., 0]
        free &= crowd | (offers != top) | (top == 0)
    return best > 0, best > objects
