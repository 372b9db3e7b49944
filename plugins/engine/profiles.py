"""Shapes that a plan takes: what an optimisation profile is made of, and which one an input goes through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log, prod
from typing import NamedTuple

from segkit.core.images import Size

Shape = tuple[int, ...]


class Profile(NamedTuple):
    """Shapes (B, C, H, W) of an input between the least and the largest, each side on its own; fastest at the best."""

    least: Shape
    best: Shape
    largest: Shape

    @classmethod
    def fixed(cls, shape: Shape) -> Profile:
        """Of an input that takes one shape."""
        return cls(shape, shape, shape)

    @classmethod
    def free(cls, batch: int, size: Size, largest: Size, stride: int) -> Profile:
        """For one to `batch` pictures of anything from one stride to `largest`, made for `batch` of `size`."""
        return cls((1, 3, stride, stride), (batch, 3, *size), (batch, 3, *largest))

    def holds(self, shape: Shape) -> bool:
        """Whether an input of this shape goes through."""
        pairs = zip(self.least, shape, self.largest, strict=True)
        return all(least <= side <= largest for least, side, largest in pairs)

    def takes(self, size: Size) -> bool:
        """Whether pictures of this size do, however many."""
        return self.holds((self.least[0], self.least[1], *size))

    def distance(self, shape: Shape) -> float:
        """How far a shape is from the best one: 0 there, 1 where it is e times as large or as small."""
        return abs(log(prod(shape) / prod(self.best)))


def choose(profiles: Sequence[Profile], shape: Shape) -> int | None:
    """The index of the profile that is made for something nearest to this shape; None where none takes it."""
    fitting = [index for index, profile in enumerate(profiles) if profile.holds(shape)]
    return min(fitting, key=lambda index: profiles[index].distance(shape), default=None)


def portion(profiles: Iterable[Profile], count: int, size: Size) -> int | None:
    """How many of `count` pictures of a size go through at once: all of them, or the most that some profile takes, or
    as many more as some profile takes at the least. None where none takes the size.
    """
    ranges = [(profile.least[0], profile.largest[0]) for profile in profiles if profile.takes(size)]
    if not ranges:
        return None
    return max((min(max(count, least), largest) for least, largest in ranges), key=lambda most: (most <= count, most))


def words(profiles: Sequence[Profile]) -> str:
    """The sizes that are taken: "640x640", "32x32 to 1280x1280"."""
    listed = []
    for profile in profiles:
        least, largest = ("x".join(map(str, shape[2:])) for shape in (profile.least, profile.largest))
        listed.append(least if least == largest else f"{least} to {largest}")
    return " or ".join(dict.fromkeys(listed))
