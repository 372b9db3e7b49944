"""Surfaces for drawn pictures, in whole numbers alone: the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.shapes.numbers import Numbers

Surface = NDArray[np.int32]
"""(H, W) brightness to be added to a colour, or coordinates of pixels that broadcast to it."""

GRAIN = 2
"""Grain of a surface: brightness of a pixel goes up or down by less than this."""


def _gradient(numbers: Numbers, x: Surface, y: Surface, size: int, depth: int) -> Surface:
    across, down = numbers.between(-depth, depth), numbers.between(-depth, depth)
    return (across * x + down * y) // size


def _checks(numbers: Numbers, x: Surface, y: Surface, size: int, depth: int) -> Surface:
    cell = numbers.between(4, max(5, size // 10))
    return ((x // cell + y // cell) % 2) * depth - depth // 2


def _stripes(numbers: Numbers, x: Surface, y: Surface, size: int, depth: int) -> Surface:
    a, b, width = numbers.between(-4, 4), numbers.between(1, 4), numbers.between(8, max(9, size // 6))
    return ((a * x + b * y) // width % 2) * depth - depth // 2


def _patches(numbers: Numbers, x: Surface, y: Surface, size: int, depth: int) -> Surface:
    cell = numbers.between(6, max(7, size // 8))
    side = max(x.shape[1], y.shape[0]) // cell + 1
    grid = numbers.bytes(side * side).reshape(side, side).astype(np.int32)
    found: Surface = grid[y // cell, x // cell] * depth // 255 - depth // 2
    return found


_KINDS: tuple[Callable[[Numbers, Surface, Surface, int, int], Surface], ...]
_KINDS = (_gradient, _checks, _stripes, _patches)


def surface(numbers: Numbers, height: int, width: int, size: int, depth: int) -> Surface:
    """One of four kinds, with its grain: (height, width) brightness within about ± `depth`, as coarse as it is for a
    picture of `size`.
    """
    x, y = np.arange(width, dtype=np.int32)[None, :], np.arange(height, dtype=np.int32)[:, None]
    drawn = _KINDS[numbers.below(len(_KINDS))](numbers, x, y, size, depth)
    grain = numbers.bytes(height * width).reshape(height, width) % (2 * GRAIN - 1)
    return drawn + (grain.astype(np.int32) - (GRAIN - 1))


def painted(colour: NDArray[np.int32], brightness: Surface) -> NDArray[np.uint8]:
    """(H, W, 3) a colour (3,) with that brightness added."""
    return (colour + brightness[..., None]).clip(0, 255).astype(np.uint8)
