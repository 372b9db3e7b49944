"""Labelled outlines as masks: whole ones, and the small ones that a network is trained on.

An outline's corners are cut to whole pixels (toward zero) and filled, its border included. For training the filled
frame is made smaller by a whole ratio with bilinear sampling: for an even ratio that is the mean of the central 2 x 2
pixels of each block, one half counting as on; for an odd one it is the central pixel.

Every object is filled within its own box: the work goes with the objects' sizes, not with the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Outline
from segkit.core.images.size import Size

POINTS = 1000
"""Corners that an outline of a training mask is given, the added ones along its edges: every one of them is cut to a
whole pixel, which the masks that the published weights learnt from show.
"""


class Crop(NamedTuple):
    """A part of a frame: `mask` (h, w) bool with its first row and column; nothing is on outside. May be empty."""

    mask: NDArray[np.bool_]
    top: int
    left: int


def polygon_mask(outlines: Iterable[Outline], size: Size) -> Crop:
    """The union of filled outlines in a frame of `size` (height, width).

    Args:
        outlines: (K, 2) x, y each, in units of the frame's sides; what lies outside of the frame is cut off.
        size: height and width of the frame in pixels.

    Returns:
        The mask within its box, empty where the outlines do not touch the frame.
    """
    scale = np.array([size[1], size[0]], np.float32)
    return fill([(outline * scale).astype(np.int32) for outline in outlines], size)


def fill(outlines: Sequence[NDArray[np.int32]], size: Size, ratio: int = 1) -> Crop:
    """The union of filled outlines in whole pixels; with a `ratio`, the frame's mask made smaller by it.

    `size` is that of the full frame: a multiple of the ratio.
    """
    outlines = [outline for outline in outlines if len(outline)]
    if not outlines:
        return _nothing()
    low = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    high = np.max([outline.max(axis=0) for outline in outlines], axis=0)
    return _filled(outlines, (*low.tolist(), *high.tolist()), size, ratio)


def fill_each(
    points: NDArray[np.int32], counts: NDArray[np.int64], firsts: NDArray[np.int64], size: Size, ratio: int = 1
) -> list[Crop]:
    """The same for N objects at a time.

    Args:
        points: (P, 2) x, y: the corners of K outlines, one after another.
        counts: (K,) corners of each, at least one.
        firsts: (N,) the first outline of each object, ascending; each has at least one.
        size: height and width of the frame: a multiple of the ratio.
        ratio: how much smaller than the frame the masks are.
    """
    if not len(firsts):
        return []
    points, counts = _without_repeats(points, counts)
    ends = np.cumsum(counts)
    starts = (ends - counts)[firsts]
    boxes = np.concatenate([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)], axis=1)
    outlines = [points[end - count : end] for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]
    lasts = [*firsts[1:].tolist(), len(outlines)]
    return [
        _filled(outlines[first:last], (x1, y1, x2, y2), size, ratio)
        for first, last, (x1, y1, x2, y2) in zip(firsts.tolist(), lasts, boxes.tolist(), strict=True)
    ]


def _without_repeats(
    points: NDArray[np.int32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Outlines without corners that repeat the one before: cut to whole pixels, small ones hardly have others."""
    starts = np.cumsum(counts) - counts
    pairs = np.ascontiguousarray(points).view(np.int64)[:, 0]
    other = np.empty(len(pairs), np.bool_)
    np.not_equal(pairs[1:], pairs[:-1], out=other[1:])
    other[starts] = True
    return points[other], np.add.reduceat(other, starts, dtype=np.int64)


def _filled(outlines: Sequence[NDArray[np.int32]], box: tuple[int, int, int, int], size: Size, ratio: int) -> Crop:
    """The union of outlines whose corners lie within a box: x1, y1, x2, y2, the last ones included."""
    left, top = (max(low, 0) // ratio * ratio for low in box[:2])
    right, bottom = (-(-min(high + 1, side) // ratio) * ratio for high, side in zip(box[2:], size[::-1], strict=True))
    if right <= left or bottom <= top:
        return _nothing()
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    for outline in outlines:  # one by one: together they would cancel out where they overlap
        cv2.fillPoly(canvas, [outline.reshape(-1, 1, 2)], (1,), offset=(-left, -top))
    return Crop(smaller(canvas, ratio), top // ratio, left // ratio)


def _nothing() -> Crop:
    return Crop(np.zeros((0, 0), np.bool_), 0, 0)


def smaller(mask: NDArray[np.uint8], ratio: int) -> NDArray[np.bool_]:
    """A mask (h, w) of zeros and ones, made smaller by a whole ratio that both sides are multiples of."""
    middle = ratio // 2
    if ratio % 2:
        return mask[middle::ratio, middle::ratio] > 0
    rows = mask[middle - 1 :: ratio] + mask[middle::ratio]
    return np.asarray(rows[:, middle - 1 :: ratio] + rows[:, middle::ratio] >= 2)


def densify(outline: NDArray[np.floating[Any]], points: int = POINTS) -> NDArray[np.float32]:
    """The closed outline (K, 2) with about `points` corners: its own, and others spread evenly over its edges.

    Every edge counts alike, whatever its length; an outline with as many corners is left as it is.
    """
    corners = outline.astype(np.float32, copy=False)
    return densify_each(corners, np.array([len(corners)]), points)[0] if 0 < len(corners) < points - 2 else corners


def densify_each(
    corners: NDArray[np.float32], counts: NDArray[np.int64], points: int = POINTS
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same for K outlines, one after another in (P, 2), each of at least one corner; and how many each has now."""
    if not len(counts):
        return corners, counts
    starts = np.cumsum(counts) - counts
    following = np.arange(1, len(corners) + 1)
    following[starts + counts - 1] = starts
    wide = corners.astype(np.float64)
    edges = wide[following] - wide
    spreads = [_spread(count, points) for count in counts.tolist()]
    here = np.concatenate([spread.here + start for spread, start in zip(spreads, starts.tolist(), strict=True)])
    made = edges.take(here, axis=0)
    made *= np.concatenate([spread.share for spread in spreads])[:, None]
    made += wide.take(here, axis=0)
    return made.astype(np.float32), np.array([len(spread.share) for spread in spreads], np.int64)


class _Spread(NamedTuple):
    """Where the corners of a denser outline lie: `share` (M,) of the way along the edges that begin at `here`."""

    here: NDArray[np.int64]
    share: NDArray[np.float64]


@lru_cache(maxsize=512)
def _spread(count: int, points: int) -> _Spread:
    ends = np.arange(count + 1)  # the first corner closes the outline
    at = np.union1d(ends, np.linspace(0, count, points - len(ends))) if count < points - 2 else ends[:-1].astype(float)
    before = at.astype(np.int64)
    return _Spread(before % count, at - before)


class Overlapping(NamedTuple):
    """One map for all objects of a picture.

    Attributes:
        map: (h, w) uint8, int32 for more than 255 objects: 0 is background, i + 1 is object `order[i]`. A smaller
            object lies above a larger one.
        order: (N,) the objects by the size of their masks, largest first; boxes and classes go with it.
    """

    map: NDArray[np.uint8] | NDArray[np.int32]
    order: NDArray[np.int64]


def overlapping(crops: Sequence[Crop], size: Size) -> Overlapping:
    """The masks of N objects as one map of `size` (height, width)."""
    order = np.argsort([-int(np.count_nonzero(crop.mask)) for crop in crops], kind="stable").astype(np.int64)
    frame = np.zeros(size, np.uint8 if len(crops) <= 255 else np.int32)
    for number, index in enumerate(order, start=1):
        _window(frame, crops[index])[crops[index].mask] = number
    return Overlapping(frame, order)


def separate(crops: Sequence[Crop], size: Size) -> NDArray[np.uint8]:
    """The masks of N objects as frames of their own: (N, h, w) uint8, zeros and ones."""
    frames = np.zeros((len(crops), *size), np.uint8)
    for frame, crop in zip(frames, crops, strict=True):
        _window(frame, crop)[crop.mask] = 1
    return frames


def _window(frame: NDArray[Any], crop: Crop) -> NDArray[Any]:
    height, width = crop.mask.shape
    return frame[crop.top : crop.top + height, crop.left : crop.left + width]
