"""Many run-length masks at once: where they are on, how large they are, and how much of one lies in another.

All work is proportional to the runs, never to the pixels. `coding` makes them of masks and of COCO's strings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_AT_ONCE = 1 << 20
"""Runs that are compared in one go, so that memory stays bounded in any crowd."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of on pixels of N masks of one picture, down its columns.

    Attributes:
        start, length: (R,) first pixel of a run and number of its pixels, mask after mask.
        first: (N + 1,) where the runs of each mask begin; the last is R.
        height, total: of the picture, in pixels.
    """

    start: Integers
    length: Integers
    first: Integers
    height: int
    total: int

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.first) - 1

    @property
    def areas(self) -> NDArray[np.float64]:
        """(N,) pixels."""
        sums = np.concatenate([[0], np.cumsum(self.length)])[self.first]
        return np.diff(sums).astype(np.float64)

    def extents(self) -> NDArray[np.float64]:
        """(N, 4) x1, y1, x2, y2 around the on pixels; zeros where there are none."""
        boxes = np.zeros((len(self), 4))
        if not len(self.start):
            return boxes
        x1, top = np.divmod(self.start, self.height)
        x2, bottom = np.divmod(self.start + self.length - 1, self.height)
        whole = x1 != x2  # goes on in the next column, so it holds this one's last row and that one's first
        sides = [x1, np.where(whole, 0, top), x2 + 1, np.where(whole, self.height, bottom + 1)]
        filled = np.flatnonzero(np.diff(self.first))
        for column, (side, reduce) in enumerate(zip(sides, (np.minimum,) * 2 + (np.maximum,) * 2, strict=True)):
            boxes[filled, column] = reduce.reduceat(side, self.first[filled])
        return boxes

    def crop(self, index: int) -> tuple[NDArray[np.bool_], int, int]:
        """The pixels of one mask, with the first row and column."""
        some = slice(self.first[index], self.first[index + 1])
        start, end = self.start[some], self.start[some] + self.length[some]
        if not len(start):
            return np.zeros((0, 0), np.bool_), 0, 0
        left, right = int(start[0] // self.height), int((end[-1] - 1) // self.height) + 1
        turns = np.zeros((right - left) * self.height + 1, np.int8)
        turns[start - left * self.height] = 1
        turns[end - left * self.height] -= 1  # where one run meets the next nothing turns
        columns = np.cumsum(turns[:-1], dtype=np.int8).view(np.bool_).reshape(right - left, self.height)
        rows = np.flatnonzero(columns.any(axis=0))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        return np.ascontiguousarray(columns[:, top:bottom].T), top, left

    def shared(self, mine: Integers, other: Runs, theirs: Integers) -> NDArray[np.float64]:
        """(P,) pixels that mask `mine[i]` of these and mask `theirs[i]` of `other` have in common."""
        found = np.zeros(len(mine))
        counts = np.diff(other.first)[theirs]
        ends = np.cumsum(counts)
        begin = 0
        while begin < len(mine):
            before = ends[begin - 1] if begin else 0
            end = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), begin + 1)
            some = slice(begin, end)
            found[some] = self._shared(mine[some], other, theirs[some], counts[some])
            begin = end
        return found

    def _shared(self, mine: Integers, other: Runs, theirs: Integers, counts: Integers) -> NDArray[np.int64]:
        if not len(self.start) or not counts.sum():
            return np.zeros(len(mine), np.int64)
        ends = np.cumsum(counts)
        run = np.arange(ends[-1]) + np.repeat(other.first[theirs] - (ends - counts), counts)
        # The pictures of all masks laid end to end: on pixels before a place are then counted by one search.
        canvas = self.total * np.arange(len(self))
        starts = self.start + np.repeat(canvas, np.diff(self.first))
        before = np.cumsum(self.length) - self.length
        place = np.repeat(canvas[mine], counts) + other.start[run]

        def passed(places: Integers) -> Integers:
            at = np.searchsorted(starts, places, side="right") - 1
            reached = before[at] + np.minimum(places - starts[at], self.length[at])
            return np.where(at < 0, 0, reached)

        inside = np.concatenate([[0], np.cumsum(passed(place + other.length[run]) - passed(place))])
        shared: Integers = inside[ends] - inside[ends - counts]
        return shared
