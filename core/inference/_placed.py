"""Masks that were found in a window of the picture: laid into it, mirrored back and united, still on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segkit.core.inference._instances import Crop, Instance, Logits
from segkit.core.inference._resample import Window


class Part(Instance, Protocol):
    """A mask of which any window can be had, so that comparing large masks needs no large arrays."""

    @property
    def reach(self) -> Window:
        """The window of the picture that the mask lies in."""

    def within(self, window: Window) -> NDArray[np.bool_]:
        """The mask in a window inside its reach."""


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """The mask that one view gave. Both conventions are pixels of the picture."""

    logits: Logits
    window: Window
    mirrored: bool

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.logits.nbytes

    @property
    def reach(self) -> Window:
        """The window of the picture that the mask lies in."""
        return _moved(self._turned(self.logits.windows[True]), self.window.top, self.window.left)

    def within(self, window: Window) -> NDArray[np.bool_]:
        """The mask in a window inside its reach."""
        inside = self._turned(_moved(window, -self.window.top, -self.window.left))
        mask = self.logits.frames[True].positive(self.logits.samples, self.logits.origin, inside)
        return np.ascontiguousarray(mask[:, ::-1]) if self.mirrored else mask

    def crop(self, native: bool) -> Crop:
        """The whole mask."""
        reach = self.reach
        return self.within(reach), reach.top, reach.left

    def _turned(self, box: Window) -> Window:
        """From the mirrored view to the upright one, and back."""
        if not self.mirrored:
            return box
        width = self.window.right - self.window.left
        return Window(box.top, width - box.right, box.bottom, width - box.left)


@dataclass(frozen=True, eq=False, slots=True)
class United:
    """One object of which several views gave a part."""

    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in self.parts)

    @property
    def reach(self) -> Window:
        """The window of the picture that holds all parts."""
        return hull(*(part.reach for part in self.parts))

    def within(self, window: Window) -> NDArray[np.bool_]:
        """The union in a window inside its reach."""
        out = np.zeros((window.bottom - window.top, window.right - window.left), np.bool_)
        for part in self.parts:
            if area(shared := common(window, part.reach)):
                out[inside(shared, window)] |= part.within(shared)
        return out

    def crop(self, native: bool) -> Crop:
        """The whole mask."""
        reach = self.reach
        return self.within(reach), reach.top, reach.left


def common(one: Window, other: Window) -> Window:
    """What both windows hold; without area where they hold nothing in common."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    return Window(top, left, max(min(one.bottom, other.bottom), top), max(min(one.right, other.right), left))


def hull(*windows: Window) -> Window:
    """The smallest window that holds all."""
    tops, lefts, bottoms, rights = zip(*windows, strict=True)
    return Window(min(tops), min(lefts), max(bottoms), max(rights))


def blocks(window: Window, side: int) -> Iterator[Window]:
    """Squares of `side`, smaller at the bottom and the right, that make up a window."""
    for top in range(window.top, window.bottom, side):
        for left in range(window.left, window.right, side):
            yield Window(top, left, min(top + side, window.bottom), min(left + side, window.right))


def area(window: Window) -> int:
    """Number of pixels."""
    return (window.bottom - window.top) * (window.right - window.left)


def inside(part: Window, whole: Window) -> tuple[slice, slice]:
    """Rows and columns of `part` in an array that shows `whole`."""
    rows = slice(part.top - whole.top, part.bottom - whole.top)
    return rows, slice(part.left - whole.left, part.right - whole.left)


def _moved(box: Window, down: int, right: int) -> Window:
    return Window(box.top + down, box.left + right, box.bottom + down, box.right + right)
