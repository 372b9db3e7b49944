"""Where the labels of points go, so that none covers another or a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def lies_in(self, frame: Box) -> bool:
        """Whether no part is outside of `frame`."""
        return (
            self.left >= frame.left
            and self.bottom >= frame.bottom
            and self.right <= frame.right
            and self.top <= frame.top
        )


def place(points: Sequence[Point], sizes: Sequence[Point], frame: Box, gap: float) -> list[Box]:
    """A box for the label of every point: as near to it as there is room, free of other labels and of all points.

    Where there is no such place, the label is left beside its point.

    Args:
        points: x and y.
        sizes: width and height of each label.
        frame: what the labels must stay in.
        gap: between a point's centre and its label; a point takes up twice that.
    """
    taken = [Box(x - gap, y - gap, x + gap, y + gap) for x, y in points]
    labels: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        options = list(_candidates(point, size, gap))
        free = (each for each in options if each.lies_in(frame) and not any(map(each.meets, taken)))
        chosen = next(free, options[0])
        labels.append(chosen)
        taken.append(chosen)
    return labels


def _candidates(point: Point, size: Point, gap: float) -> Iterator[Box]:
    """Boxes around a point, the nearest first: right, left, above, below, then further and further away."""
    (x, y), (width, height) = point, size
    step = height / 2
    rows = sorted((number * step for number in range(-40, 41)), key=abs)
    for distance, row in sorted(product(range(12), rows), key=lambda each: each[0] * step * 2 + abs(each[1])):
        away = gap + distance * step * 2
        for left in (x + away, x - away - width, x - width / 2):
            if left == x - width / 2 and abs(row) < height / 2 + gap:
                continue  # it would cover its own point
            bottom = y + row - height / 2
            yield Box(left, bottom, left + width, bottom + height)
