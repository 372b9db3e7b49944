"""Outlines of masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.int32]
"""(K, 2) x, y of the corners of a closed outline, in whole pixels."""


PAIRS = 1 << 16
"""Pairs of points compared at a time: outlines in large pictures have thousands of points each."""


def outlines(crop: NDArray[np.bool_], top: int, left: int) -> list[Outline]:
    """The outer outline of each part of a mask that is `crop` at `top`, `left` of its frame; holes are ignored."""
    if not crop.size:
        return []
    found, _ = cv2.findContours(
        np.ascontiguousarray(crop).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    return [outline.reshape(-1, 2).astype(np.int32, copy=False) for outline in found]


def join(parts: Sequence[Outline]) -> Outline:
    """One closed outline through all parts: (K, 2).

    Each part is reached from the nearest point of what is joined already by a bridge that is walked out and back, so
    that the filled area stays the same; a part adds its own points and the two ends of its bridge.
    """
    if not parts:
        return np.empty((0, 2), np.int32)
    joined = parts[0]
    for part in parts[1:]:
        here, there = _nearest(joined, part)
        joined = np.concatenate([joined[: here + 1], part[there:], part[: there + 1], joined[here:]])
    return joined


def _nearest(one: Outline, other: Outline) -> tuple[int, int]:
    """Indices of the nearest pair of points, the first such pair where there are several."""
    # |a - b|² = |a|² - 2ab + |b|², as a product of rows of four; whole numbers stay exact in float64.
    x, y = one.T.astype(np.float64)
    mine = np.stack([x * x + y * y, -2 * x, -2 * y, np.ones_like(x)], axis=1)
    x, y = other.T.astype(np.float64)
    theirs = np.stack([np.ones_like(x), x, y, x * x + y * y])
    found = []
    step = max(PAIRS // len(other), 1)
    for start in range(0, len(one), step):
        distance = mine[start : start + step] @ theirs
        index = int(distance.argmin())
        found.append((int(distance.flat[index]), start + index // len(other), index % len(other)))
    return min(found)[1:]
