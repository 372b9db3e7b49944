"""Masks as outlines that give exactly the same mask again, holes included.

`trace` runs along the edges of the pixels, a little inside of the mask. So it means the same to both of the rules by
which polygons become pixels: one that takes the pixels whose centres lie inside, as COCO's tools in effect do, and one
that cuts coordinates down to whole numbers and draws the border too, as trainers do. `quick_trace` runs through the
centres of the pixels, is several times as fast, and means the mask to the second rule only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.polygons import Outline, join, nearest_first

Points = NDArray[np.float64]
"""(K, 2) x, y of the corners of a closed outline in pixels of the picture: pixel 0 covers 0 to 1."""

INSET = 1 / 128
"""Pixels by which an outline lies inside: more than what label files lose in pictures of 60,000 pixels a side."""


def trace(mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> tuple[Points, ...]:
    """The outlines of a mask (h, w) that lies at `top`, `left` of its picture: one for each part.

    Parts touch each other in corners at most. A hole is part of its outline, reached from the nearest point of what is
    around it by a bridge that is walked out and back and encloses nothing.
    """
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8)) if mask.size else (0, 0, 0, 0)
    if not width:
        return ()
    mask = mask[y : y + height, x : x + width]
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    found: dict[int, list[Points]] = {}
    for corners in _loops(mask):
        column, row = corners[0] >> 1
        found.setdefault(int(parts[row, column]), []).append((corners + 1 >> 1) + np.where(corners & 1, -INSET, INSET))
    shift = np.array([left + x, top + y])
    # What is around the others has the largest box.
    rings = [sorted(loops, key=_extent, reverse=True) for _, loops in sorted(found.items())]
    directed = [[turned(outer, 1), *(turned(hole, -1) for hole in holes)] for outer, *holes in rings]
    return tuple(join(nearest_first(loops)) + shift for loops in directed)


def quick_trace(mask: NDArray[np.bool_]) -> list[Outline]:
    """The outlines of a mask (h, w), one for each part, through the outermost pixels: (K, 2) whole x, y.

    A hole is part of its outline. Parts that touch in a corner are one, and a part may be a single point.
    """
    found, tree = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    inside: dict[int, list[Outline]] = {}
    parents = tree[0, :, 3].tolist() if found else []
    contours = [contour.reshape(-1, 2).astype(np.int32, copy=False) for contour in found]
    for contour, parent in zip(contours, parents, strict=True):
        inside.setdefault(parent, []).append(contour)
    return [join([contours[index], *inside.get(index, ())]) for index, parent in enumerate(parents) if parent < 0]


def signed_area(points: NDArray[np.floating[Any]]) -> float:
    """The area in an outline (K, 2), in its units, by the shoelace formula; positive if clockwise, as y goes down."""
    x, y = points.T.astype(np.float64)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def turned(points: Points, sign: int) -> Points:
    """An outline walked in the direction in which its area has that sign.

    Parts that are joined go one way and holes the other, so that every rule of filling and adding up agrees on them.
    """
    return points if signed_area(points) * sign >= 0 else points[::-1]


def _extent(points: Points) -> float:
    return float(np.ptp(points, axis=0).prod())


def _loops(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed chains of corners (K, 2) x, y. A corner is given by the mask's pixel that it lies in, in half pixels:
    2x is the left side of pixel x, and 2x + 1 its right side.
    """
    corners = _corners(mask)
    x, y = corners.T
    across = _partners(np.lexsort((x, y)))  # a row's corners, two by two, are the ends of its edges
    down = _partners(np.lexsort((y, x)))
    points, free, loops = corners, [True] * len(corners), []
    for start in range(len(corners)):
        chain = []
        here = start
        while free[here]:
            there = across[here]
            free[here] = free[there] = False
            chain += [here, there]
            here = down[there]
        if chain:
            loops.append(points[chain])
    return loops


def _partners(order: NDArray[np.int64]) -> list[int]:
    partner = np.empty_like(order)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    found: list[int] = partner.tolist()
    return found


def _corners(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(K, 2) x, y of all corners in half pixels, each inside the pixel of the mask that it belongs to.

    A pixel has a corner where both of its neighbours at that side are off, or both are on and the one between is off.
    """
    framed = np.pad(mask, 1)
    found = []
    for right in (0, 1):
        for below in (0, 1):
            beside = framed[1:-1, 2 * right : framed.shape[1] - 2 + 2 * right]
            above = framed[2 * below : framed.shape[0] - 2 + 2 * below, 1:-1]
            between = framed[2 * below : framed.shape[0] - 2 + 2 * below, 2 * right : framed.shape[1] - 2 + 2 * right]
            y, x = np.nonzero(mask & (beside == above) & ~(beside & between))
            found.append(np.stack([2 * x + right, 2 * y + below], axis=1))
    return np.concatenate(found)
