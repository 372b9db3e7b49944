"""The masks of drawn shapes, in whole numbers alone: the same pixels on every machine.

Positions are in sixteenths of a pixel. A pixel belongs to a shape if its centre does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NAMES = ("disc", "square", "triangle", "star", "ring")
"""Classes by index."""

UNIT = 16
"""Steps a pixel."""

TURN = 1024
"""Angles are in this many steps a turn."""

_SCALE = 1 << 15
# Rounded so coarsely that the last bits, in which libraries differ, do not matter.
_COS = [round(math.cos(2 * math.pi * step / TURN) * _SCALE) for step in range(TURN)]

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns of a picture."""

Grid = tuple[NDArray[np.int64], NDArray[np.int64]]


def centres(window: Window) -> Grid:
    """(1, w) x and (h, 1) y of the centres of the pixels in some rows and columns."""
    y, x = (np.arange(part.start, part.stop, dtype=np.int64) * UNIT + UNIT // 2 for part in window)
    return x[None, :], y[:, None]


def disc(grid: Grid, x: int, y: int, radius: int, hole: int = 0) -> Mask:
    """A disc, or a ring with a round `hole` of that radius."""
    distance = (grid[0] - x) ** 2 + (grid[1] - y) ** 2
    return (distance <= radius**2) & (distance >= hole**2)


def polygon(grid: Grid, corners: list[tuple[int, int]]) -> Mask:
    """What lies inside of a closed outline, by the even-odd rule."""
    inside = np.zeros((grid[1].shape[0], grid[0].shape[1]), np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        crosses = (grid[1] >= y0) != (grid[1] >= y1)
        right = (grid[0] - x0) * (y1 - y0) < (grid[1] - y0) * (x1 - x0)
        inside ^= crosses & (right if y1 > y0 else ~right)
    return inside


def corners(x: int, y: int, radii: list[int], angle: int) -> list[tuple[int, int]]:
    """Corners around a centre, evenly turned from `angle` on, each at its own radius."""
    steps = [(angle + index * TURN // len(radii)) % TURN for index in range(len(radii))]
    return [
        (x + radius * _COS[step] // _SCALE, y + radius * _COS[step - TURN // 4] // _SCALE)
        for radius, step in zip(radii, steps, strict=True)
    ]


def draw(name: str, grid: Grid, x: int, y: int, radius: int, angle: int) -> Mask:
    """(H, W) mask of a shape of that name, in a circle of `radius` around x, y."""
    match name:
        case "disc":
            return disc(grid, x, y, radius)
        case "ring":
            return disc(grid, x, y, radius, radius * 11 // 20)
        case "square":
            return polygon(grid, corners(x, y, [radius] * 4, angle))
        case "triangle":
            return polygon(grid, corners(x, y, [radius] * 3, angle))
        case "star":
            return polygon(grid, corners(x, y, [radius, radius * 2 // 5] * 5, angle))
    raise AssertionError(f"no such shape: {name}")
