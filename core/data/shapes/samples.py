"""Pictures of shapes with exact masks, made up by number: for a demo, for tests, and to compare machines.

A picture is a textured surface with discs, squares, triangles, stars and rings on it, which hide each other in part.
Every picture has a number of its own: the same seed, index and size give the same bytes everywhere. Edges are hard, so
that a pixel belongs to one object or to none. What is visible of an object is in one piece, holes allowed: one outline
in a label file says it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Outline
from segkit.core.data.shapes.masks import NAMES, TURN, UNIT, Window, centres, draw
from segkit.core.data.shapes.numbers import Numbers
from segkit.core.data.shapes.outlines import outline_of
from segkit.core.data.shapes.textures import painted, surface

__all__ = ["NAMES", "Shapes", "sample"]

SMALLEST, LARGEST = 32, 4096
"""Sides that a picture may have, in pixels."""

MOST = 7
"""Objects in a picture; one picture in sixteen has none."""

VISIBLE = 3
"""Objects show at least the so-manieth part of themselves, and that in one piece: its label is then exact."""

_ATTEMPTS = 8
_CONTRAST = 120
"""By how much colours of what lies on each other differ at least, over the three channels together."""


class Shapes(NamedTuple):
    """A picture with N objects, from the lowest to the topmost.

    `picture` is (H, W, 3) uint8 BGR; `masks` (N, H, W) bool what is visible of each, `classes` (N,) int64; `outlines`
    one closed outline (K, 2) each, in units of the picture's sides: filled as training does it, it is the mask.
    """

    picture: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    classes: NDArray[np.int64]
    outlines: tuple[Outline, ...]


class _Object(NamedTuple):
    """Class, place and mask of an object, and what of it is visible in the whole picture."""

    kind: int
    window: Window
    mask: NDArray[np.bool_]
    visible: NDArray[np.bool_]

    def remains(self, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether enough of it can be seen, and in one part, when `mask` is put on it."""
        if not (self.visible[window] & mask).any():
            return True
        left = self.visible.copy()
        left[window][mask] = False
        return VISIBLE * int(left.sum()) >= int(self.mask.sum()) and _in_one_piece(left[self.window])


def sample(seed: int, index: int, size: int = 320) -> Shapes:
    """Picture number `index`.

    Args:
        seed: of the whole set.
        index: of the picture; any whole number, they do not depend on each other.
        size: side of the picture in pixels, SMALLEST to LARGEST.
    """
    numbers = Numbers(seed, index)
    colours = [_colour(numbers, 48, 208)]
    picture = painted(colours[0], surface(numbers, size, size, size, 36))
    objects: list[_Object] = []
    many = numbers.below(16)
    for _ in range(1 + many % MOST if many else 0):
        found = _place(numbers, size, objects)
        if found is None:
            continue
        colour = _other_colour(numbers, colours)
        height, width = found.mask.shape
        texture = painted(colour, surface(numbers, height, width, size, 20))
        for below in objects:
            below.visible[found.window][found.mask] = False
        visible = np.zeros((size, size), np.bool_)
        visible[found.window] = found.mask
        objects.append(found._replace(visible=visible))
        picture[found.window][found.mask] = texture[found.mask]
        colours.append(colour)
    masks = np.array([each.visible for each in objects], np.bool_).reshape(-1, size, size)
    outlines = tuple(outline_of(mask) for mask in masks)
    return Shapes(picture, masks, np.array([each.kind for each in objects], np.int64), outlines)


def _place(numbers: Numbers, size: int, objects: Sequence[_Object]) -> _Object | None:
    """The next object, which leaves enough of the others to be seen; None where there is no room."""
    kind = numbers.below(len(NAMES))
    for _ in range(_ATTEMPTS):
        radius = numbers.between(max(size * UNIT // 16, 5 * UNIT), size * UNIT // 5)
        x, y = (numbers.between(radius // 2, size * UNIT - radius // 2) for _ in range(2))
        window = _around(x, y, radius, size)
        mask = draw(NAMES[kind], centres(window), x, y, radius, numbers.below(TURN))
        if _in_one_piece(mask) and all(each.remains(window, mask) for each in objects):
            return _Object(kind, window, mask, mask)
    return None


def _in_one_piece(mask: NDArray[np.bool_]) -> bool:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2  # what is off counts as one


def _around(x: int, y: int, radius: int, size: int) -> Window:
    """Rows and columns of a picture that hold what is within `radius` of x, y."""
    rows, columns = (slice(max(at - radius, 0) // UNIT, min((at + radius) // UNIT + 1, size)) for at in (y, x))
    return rows, columns


def _colour(numbers: Numbers, low: int, high: int) -> NDArray[np.int32]:
    return np.array([numbers.between(low, high) for _ in range(3)], np.int32)


def _other_colour(numbers: Numbers, colours: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The one of some colours that differs most from those that are there, or the first that differs enough."""
    found = [_colour(numbers, 16, 240) for _ in range(8)]
    distance = [min(int(abs(colour - other).sum()) for other in colours) for colour in found]
    enough = [index for index, value in enumerate(distance) if value >= _CONTRAST]
    return found[enough[0] if enough else int(np.argmax(distance))]
