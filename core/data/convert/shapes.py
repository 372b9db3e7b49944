"""Outlines of objects as formats need them: cut to the picture, as one closed line, and as pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.convert.records import Item
from segkit.core.data.tracing import Points, signed_area, trace, turned
from segkit.core.polygons import join, nearest_first

LEAST = 1e-3
"""Square pixels: an outline around less has no area to speak of."""


CORNERS = 72
"""Of an ellipse: its area is 0.13 % too small."""

FINER = 4
"""Pixels are cut in so many a side to find the union of outlines."""

MOST = 1 << 26
"""Cut pixels of one object: larger ones are left whole."""

STRIP = 1 << 22
"""Pixels that are filled at a time."""


def item_of(category: int, parts: Sequence[Points], size: tuple[int, int]) -> Item | str:
    """An object from the outlines of its parts, cut to a picture of `size` (height, width).

    Parts that overlap are made one, as a union. In the place of an object, in a few words, why there is none.
    """
    long_enough = [part for part in parts if len(part) >= 3]
    if not long_enough:
        return "objects with fewer than 3 points"
    inside = [cut for part in long_enough if len(cut := clip(part, size)) >= 3]
    if not inside:
        return "objects outside of their picture"
    solid = [turned(part, 1) for part in inside if not _flat(part)]
    if not solid:
        return "objects without an area"
    if overlapping(solid, size):
        solid = _union(solid, size)
    return Item(category, tuple(solid), box_around(solid))


def _union(parts: Sequence[Points], size: tuple[int, int]) -> list[Points]:
    """Parts that do not overlap and cover the same, to a quarter of a pixel; to a pixel for very large ones."""
    width, height = np.ptp(np.concatenate(parts), axis=0).tolist()
    finer = FINER if width * height * FINER**2 <= MOST else 1
    fine = [part * finer for part in parts]
    return [part / finer for part in trace(*pixels(fine, (size[0] * finer, size[1] * finer)))]


def box_item(category: int, box: Sequence[float] | Points, size: tuple[int, int]) -> Item | str:
    """An object of which only its box x1, y1, x2, y2 is known, cut to the picture; else why there is none."""
    height, width = size
    cut = np.clip(np.asarray(box, np.float64), 0, [width, height, width, height])
    if (cut[2:] <= cut[:2]).any():
        return "boxes without an area in their picture"
    return Item(category, (), cut)


def ellipse(centre: Sequence[float], radii: Sequence[float]) -> Points:
    """The outline of an ellipse with its axes along the picture's sides."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    return np.asarray(np.array(centre) + np.array(radii) * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def rotated(points: Points, centre: Sequence[float], degrees: float) -> Points:
    """An outline turned about a centre, clockwise as it is seen."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray((points - centre) @ turn + centre)


def box_around(parts: Sequence[Points]) -> Points:
    """(4,) x1, y1, x2, y2 around outlines."""
    points = np.concatenate(parts)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def one_outline(item: Item) -> Points:
    """All parts of an object as one closed outline, joined by the nearest points; no points for a box."""
    return join(nearest_first(sorted(item.parts, key=len, reverse=True))) if item.parts else np.empty((0, 2))


def overlapping(parts: Sequence[Points], size: tuple[int, int]) -> bool:
    """Whether a pixel's centre lies in two parts of an object: joined, it would count as outside."""
    if len(parts) < 2:
        return False
    alone = sum(int(pixels([part], size)[0].sum()) for part in parts)
    return alone > int(pixels(parts, size)[0].sum())


def area_of(parts: Sequence[Points], size: tuple[int, int]) -> float:
    """Square pixels of an object. What its outlines enclose by the shoelace formula; or, where that is too far from it
    for an outline that does not cross itself, the number of pixels inside.
    """
    enclosed = sum(abs(signed_area(part)) for part in parts)
    count = int(pixels(parts, size)[0].sum())
    rim = sum(float(np.hypot(*(part - np.roll(part, 1, axis=0)).T).sum()) for part in parts)
    return enclosed if abs(enclosed - count) <= rim / 2 else count


def _flat(points: Points) -> bool:
    """Whether all corners are about on one line. A figure of eight is not flat, although its loops cancel."""
    x, y = (points - points[0]).T
    return float(np.abs(x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2 < LEAST


def clip(points: Points, size: tuple[int, int]) -> Points:
    """What of an outline lies in a picture of `size` (height, width), by Sutherland and Hodgman's method (1974)."""
    for axis, limit in enumerate((size[1], size[0])):
        points = _half(points, axis, 0.0, 1.0)
        points = _half(points, axis, float(limit), -1.0)
    return points


def _half(points: Points, axis: int, limit: float, sign: float) -> Points:
    """What of an outline lies at one side of a line."""
    depth = sign * (points[:, axis] - limit)
    if not len(points) or (depth >= 0).all():
        return points
    kept = []
    for index in range(len(points)):
        if depth[index - 1] * depth[index] < 0:
            share = depth[index - 1] / (depth[index - 1] - depth[index])
            crossing = points[index - 1] + share * (points[index] - points[index - 1])
            crossing[axis] = limit
            kept.append(crossing)
        if depth[index] >= 0:
            kept.append(points[index])
    return np.array(kept, np.float64).reshape(-1, 2)


def pixels(parts: Sequence[Points], size: tuple[int, int]) -> tuple[NDArray[np.bool_], int, int]:
    """The pixels whose centres are in any of the outlines, as a crop with its top and left.

    Each outline is filled by the even-odd rule; `size` is (height, width) of the picture.
    """
    x1, y1, x2, y2 = box_around(parts)
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), size[1]), min(int(np.ceil(y2)), size[0])
    shape = (max(bottom - top, 0), max(right - left, 0))
    crop = np.zeros(shape, np.bool_)
    for part in parts:
        crop |= _filled(part - [left, top], shape)
    return crop, top, left


def _filled(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """One outline by the even-odd rule: every edge flips what is below it in the columns that it passes."""
    height, width = shape
    ends = np.roll(points, -1, axis=0)
    back = (ends[:, 0] < points[:, 0])[:, None]  # always from left to right: a bridge must be the same out and back
    points, ends = np.where(back, ends, points), np.where(back, points, ends)
    first = np.ceil(points[:, 0] - 0.5).astype(np.int64).clip(0, width)
    last = np.ceil(ends[:, 0] - 0.5).astype(np.int64).clip(0, width)
    count = last - first
    edge = np.repeat(np.arange(len(points)), count)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x, y), (dx, dy) = points[edge].T, (ends - points)[edge].T
    row = np.ceil(y + (column + 0.5 - x) * dy / dx - 0.5).astype(np.int64).clip(0, height)
    inside = np.empty(shape, np.bool_)
    strip = max(STRIP // (height + 1), 1)
    for left in range(0, width, strip):
        here = (column >= left) & (column < left + strip)
        across = min(strip, width - left)
        flips = np.bincount(row[here] * across + column[here] - left, minlength=(height + 1) * across)
        inside[:, left : left + across] = np.cumsum(flips.reshape(height + 1, across)[:height], axis=0) % 2
    return inside
