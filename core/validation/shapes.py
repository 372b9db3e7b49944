"""Which pictures share an input, and of what shape: the policy that published figures of this family rest on.

Pictures are sorted by height over width and cut into groups. The input of a group is as wide or as high as its most
square picture needs, plus half a stride, in whole strides; each picture is brought to the input's long side and padded,
never enlarged further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from segkit.core.data.rectangles import rectangles as batches_of
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
    for places, target in batches_of(sizes, count, side, stride=stride, margin=0.5):
        yield Group(places, [Letterbox.padded(sizes[place], side, target) for place in places])


def squares(sizes: Sequence[Size], target: Size, count: int) -> Iterator[Group]:
    """Groups of up to `count` pictures in their own order, each letterboxed into `target`."""
    for start in range(0, len(sizes), count):
        places = list(range(start, min(start + count, len(sizes))))
        yield Group(places, [Letterbox.fit(sizes[place], target) for place in places])
