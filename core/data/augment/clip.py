"""Cutting outlines at the sides of a rectangle (Sutherland and Hodgman, 1974), many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.scene import Points, Scene

Window = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


def clipped(scene: Scene, window: Window | None = None) -> tuple[Scene, NDArray[np.bool_]]:
    """The scene with what lies outside of a window (default: its picture) cut off its outlines.

    Returns:
        The scene, and (N,) bool: which of its objects are left. An outline that only touches the window is not.
    """
    bounds = window or (0.0, 0.0, float(scene.size[1]), float(scene.size[0]))
    if not len(scene):
        return scene, np.zeros(0, np.bool_)
    starts = np.cumsum(scene.counts) - scene.counts
    low, high = np.minimum.reduceat(scene.points, starts), np.maximum.reduceat(scene.points, starts)
    whole = np.all((low >= bounds[:2]) & (high <= bounds[2:]), axis=1)
    if whole.all():
        return scene, np.ones(len(scene), np.bool_)
    crossing = ~whole & np.all((high > bounds[:2]) & (low < bounds[2:]), axis=1)
    cut = np.repeat(crossing, scene.counts)
    inside, counts = _cut(scene.points[cut], scene.counts[crossing], bounds)
    left = np.where(whole, scene.counts, 0)
    left[crossing] = counts
    points = np.empty((left.sum(), 2), np.float32)
    place = np.repeat(whole, left)
    points[place], points[~place] = scene.points[np.repeat(whole, scene.counts)], inside
    return scene.outlined_by(points, left[left > 0], scene.owners[left > 0])


def cut_outline(outline: Points, window: Window) -> Points:
    """The part of one outline (K, 2) inside a window: what several pieces would be is joined along the sides.

    Empty if nothing is inside.
    """
    return _cut(outline, np.array([len(outline)]), window)[0]


def _cut(points: Points, counts: NDArray[np.int64], window: Window) -> tuple[Points, NDArray[np.int64]]:
    """The parts of K outlines, one after another in (P, 2), inside a window; and (K,) corners of each, 0 or from 3 on.

    All outlines are cut at one side of the window, then at the next.
    """
    counts = counts.copy()
    for axis, bound, sign in ((0, window[0], 1), (1, window[1], 1), (0, window[2], -1), (1, window[3], -1)):
        distance = sign * (points[:, axis] - np.float32(bound))
        if distance.min(initial=0) < 0:
            left = counts > 0
            points, counts[left] = _half_plane(points, counts[left], distance)
            points[:, axis] = np.maximum(points[:, axis], bound) if sign > 0 else np.minimum(points[:, axis], bound)
    few = counts < 3
    return points[~np.repeat(few, counts)], np.where(few, 0, counts)


def _half_plane(
    points: Points, counts: NDArray[np.int64], distance: NDArray[np.float32]
) -> tuple[Points, NDArray[np.int64]]:
    """The parts of closed outlines of at least one corner where their corners' `distance` is not negative."""
    ends = np.cumsum(counts)
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = ends - counts
    inside = distance >= 0
    crossing = inside != inside[following]
    at = np.flatnonzero(crossing)
    after = following[at]
    share = distance[at] / (distance[at] - distance[after])
    kept = inside.astype(np.int64) + crossing
    place = np.cumsum(kept)  # behind the last one that a corner leaves: itself, and the point where its edge crosses
    cut = np.empty((place[-1], 2), np.float32)
    cut[(place - kept)[inside]] = points[inside]
    cut[place[at] - 1] = points[at] + share[:, None] * (points[after] - points[at])
    return cut, np.add.reduceat(kept, ends - counts)
