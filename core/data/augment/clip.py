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
    x1, y1, x2, y2 = window or (0.0, 0.0, float(scene.size[1]), float(scene.size[0]))
    if not len(scene):
        return scene, np.zeros(0, np.bool_)
    starts = np.cumsum(scene.counts) - scene.counts
    low, high = np.minimum.reduceat(scene.points, starts), np.maximum.reduceat(scene.points, starts)
    whole = np.all((low >= (x1, y1)) & (high <= (x2, y2)), axis=1)
    if whole.all():
        return scene, np.ones(len(scene), np.bool_)
    outside = np.any((high <= (x1, y1)) | (low >= (x2, y2)), axis=1)
    outlines: list[Points] = []
    owners: list[int] = []
    for outline, owner, all_in, all_out in zip(
        scene.outlines, scene.owners.tolist(), whole.tolist(), outside.tolist(), strict=True
    ):
        if all_out:
            continue
        cut = outline if all_in else cut_outline(outline, (x1, y1, x2, y2))
        if len(cut):
            outlines.append(cut)
            owners.append(owner)
    return scene.with_outlines(outlines, owners)


def cut_outline(outline: Points, window: Window) -> Points:
    """The part of one outline (K, 2) inside a window: what several pieces would be is joined along the sides.

    Empty if nothing is inside.
    """
    points = outline
    for axis, bound, sign in ((0, window[0], 1), (1, window[1], 1), (0, window[2], -1), (1, window[3], -1)):
        distance = sign * (points[:, axis] - np.float32(bound))
        if distance.min(initial=0) < 0:
            points = _half_plane(points, distance)
            points[:, axis] = np.maximum(points[:, axis], bound) if sign > 0 else np.minimum(points[:, axis], bound)
    return points if len(points) > 2 else points[:0]


def _half_plane(points: Points, distance: NDArray[np.float32]) -> Points:
    """The part of a closed outline where its corners' `distance` is not negative."""
    after = np.roll(distance, -1)
    inside = distance >= 0
    crossing = inside != (after >= 0)
    share = np.divide(distance, distance - after, out=np.zeros_like(distance), where=crossing)
    met = points + share[:, None] * (np.roll(points, -1, axis=0) - points)
    both = np.stack([points, met], axis=1).reshape(-1, 2)
    return np.asarray(both[np.stack([inside, crossing], axis=1).ravel()], np.float32)
