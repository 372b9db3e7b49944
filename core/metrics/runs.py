"""Many run-length masks at once: where they are on, how large they are, and how much of one lies in another.

All work is proportional to the runs, never to the pixels. `segkit.core.rle` explains the encoding of one mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import InputError
from segkit.core.rle import Rle

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


def read_runs(masks: Sequence[Rle], size: Sequence[int] | None = None) -> Runs:
    """The runs of masks of one picture; `size` (height, width) is needed only to say what a picture without masks has.

    Raises:
        InputError: a mask has another size than the first, or its runs do not fill its picture.
    """
    height, width = size if size is not None else masks[0]["size"] if masks else (0, 0)
    for index, mask in enumerate(masks):
        if tuple(mask["size"]) != (height, width):
            given = "x".join(map(str, mask["size"]))
            raise InputError(f"Mask {index} is {given} (height x width), but the picture is {height}x{width}.")
    lengths, counts = _decompress([mask["counts"] for mask in masks])
    bounds = np.concatenate([[0], np.cumsum(counts)])
    ends = np.cumsum(lengths)
    filled = np.diff(np.concatenate([[0], ends])[bounds])
    wrong = np.flatnonzero(filled != height * width)
    if len(wrong) or (lengths < 0).any():
        which = f"mask {wrong[0]}" if len(wrong) else "a mask"
        raise InputError(f"The runs of {which} do not fill its {height}x{width} pixels.")
    on = np.flatnonzero((_places(counts) & 1) & (lengths > 0))
    owner = np.repeat(np.arange(len(masks)), counts)[on]
    first = np.searchsorted(on, bounds)
    return Runs(ends[on] - lengths[on] - height * width * owner, lengths[on], first, int(height), int(height * width))


def _places(counts: Integers) -> Integers:
    """0, 1, 2, … for each of `counts`, one after the other."""
    places: Integers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _decompress(strings: Sequence[str]) -> tuple[Integers, Integers]:
    """Run lengths of all strings, one after the other, and (N,) how many each has."""
    data = np.frombuffer("".join(strings).encode("ascii"), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(data < 32)  # of the groups of 5 bits that make a number, the lowest first
    if not len(last):
        return np.zeros(0, np.int64), np.zeros(len(strings), np.int64)
    groups = np.diff(last, prepend=-1)
    values = ((data[last] ^ 16) - 16) << 5 * (groups - 1)  # its highest bit is the sign
    for back in range(1, int(groups.max())):
        some = np.flatnonzero(groups > back)
        values[some] += (data[last[some] - back] & 31) << 5 * (groups[some] - 1 - back)
    counts = np.diff(np.searchsorted(last, np.cumsum([len(text) for text in strings])), prepend=0)
    return _undo_differences(values, counts), counts


def _undo_differences(values: Integers, counts: Integers) -> Integers:
    """Run lengths: from the fourth of a mask on, each value is the difference to the length two before.

    Two running sums over everything, at even and at odd places, less what they were where a mask's own begin: at its
    second and third value. Its first stands alone.
    """
    sums = np.zeros(len(values) + 2, np.int64)
    sums[2::2], sums[3::2] = np.cumsum(values[::2]), np.cumsum(values[1::2])
    first = np.cumsum(counts) - counts
    before = sums[np.minimum(first[:, None] + [2, 1], len(values) + 1)].ravel()
    mask = np.repeat(2 * np.arange(len(counts)), counts)
    lengths: Integers = sums[2:] - before[mask + (_places(counts) & 1)]
    begins = first[counts > 0]
    lengths[begins] = values[begins]
    return lengths
