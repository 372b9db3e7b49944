"""Which pictures share an input, and of what shape: the policy that published figures of this family rest on.

Pictures are sorted by height over width and cut into groups. The input of a group is as wide or as high as its most
square picture needs, plus half a stride, in whole strides; each picture is brought to the input's long side and padded,
never enlarged further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from segkit.core.images.geometry import Letterbox
from segkit.core.images.size import Size


class Group(NamedTuple):
    """Places of pictures in the data set, and where each lies in the input that they share."""

    places: list[int]
    geometry: list[Letterbox]


def rectangles(sizes: Sequence[Size], side: int, stride: int, count: int) -> Iterator[Group]:
    """Groups of up to `count` pictures of like shapes.

    Args:
        sizes: (height, width) of each picture.
        side: what the long side of every picture becomes.
        stride: of the network; both sides of an input are multiples of it.
        count: most pictures in a group.
    """
    ratios = np.array([height / width for height, width in sizes])
    order = np.argsort(ratios, kind="stable").tolist()
    for places in _cut(order, count):
        target = _shape(ratios[places].min(), ratios[places].max(), side, stride)
        yield Group(places, [Letterbox.padded(sizes[place], side, target) for place in places])


def squares(sizes: Sequence[Size], target: Size, count: int) -> Iterator[Group]:
    """Groups of up to `count` pictures in their own order, each letterboxed into `target`."""
    for places in _cut(list(range(len(sizes))), count):
        yield Group(places, [Letterbox.fit(sizes[place], target) for place in places])


def _cut(places: list[int], count: int) -> Iterator[list[int]]:
    return (places[start : start + count] for start in range(0, len(places), count))


def _shape(least: float, most: float, side: int, stride: int) -> Size:
    """(height, width) for pictures whose height over width lies between the two."""
    tall, wide = (most, 1.0) if most < 1 else (1.0, 1 / least) if least > 1 else (1.0, 1.0)
    height, width = (ceil(part * side / stride + 0.5) * stride for part in (tall, wide))
    return height, width
