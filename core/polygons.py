"""Outlines of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.int32]
"""(K, 2) x, y of the corners of a closed outline, in whole pixels."""

Number = TypeVar("Number", np.int32, np.float32, np.float64)

PAIRS = 1 << 16
"""Pairs of points compared at a time: outlines in large pictures have thousands of points each."""

ORDERED = 100
"""Parts of which the nearest is looked for: objects have a few, noise has thousands."""


def outlines(crop: NDArray[np.bool_], top: int, left: int) -> list[Outline]:
    """The outer outline of each part of a mask that is `crop` at `top`, `left` of its frame; holes are ignored."""
    if not crop.size:
        return []
    found, _ = cv2.findContours(
        np.ascontiguousarray(crop).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    return [outline.reshape(-1, 2).astype(np.int32, copy=False) for outline in found]


def join(parts: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """One closed outline through all parts: (K, 2), whole pixels or fractions as they are.

    Each part is reached from the nearest point of what is joined already by a bridge that is walked out and back, so
    that the filled area stays the same; a part adds its own points and the two ends of its bridge.
    """
    if not parts:
        nothing: NDArray[Any] = np.empty((0, 2), np.int32)
        return nothing
    joined = parts[0]
    for part in parts[1:]:
        here, there = _nearest(joined, part)
        joined = np.concatenate([joined[: here + 1], part[there:], part[: there + 1], joined[here:]])
    return joined


def nearest_first(parts: Sequence[NDArray[Number]]) -> list[NDArray[Number]]:
    """The parts in the order in which they are reached from the first one by always taking the nearest to those before.

    Joined in this order, no bridge leads across a bridge or a third part, but for long edges without points. It takes
    the square of their number: those beyond the first `ORDERED` follow as they are.
    """
    left = list(parts[1:ORDERED])
    found = list(parts[:1])
    distances = [np.inf] * len(left)
    while left:
        distances = [min(old, _distance(found[-1], part)) for old, part in zip(distances, left, strict=True)]
        nearest = int(np.argmin(distances))
        found.append(left.pop(nearest))
        distances.pop(nearest)
    return found + list(parts[ORDERED:])


def _distance(one: NDArray[Number], other: NDArray[Number]) -> float:
    """Of the nearest two points, squared."""
    here, there = _nearest(one, other)
    return float(((one[here].astype(np.float64) - other[there]) ** 2).sum())


def _nearest(one: NDArray[Number], other: NDArray[Number]) -> tuple[int, int]:
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
        found.append((float(distance.flat[index]), start + index // len(other), index % len(other)))
    return min(found)[1:]
