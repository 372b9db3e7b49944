"""All masks of a picture at once, from pixels to runs to COCO's strings and back.

With hundreds of small masks, calls cost more than pixels. `segkit.core.rle` does one mask, and explains the strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import InputError
from segkit.core.metrics.runs import Integers, Runs
from segkit.core.rle import Rle, groups_of

Crop = tuple[NDArray[np.bool_], int, int]
"""A mask (h, w) and its first row and column in the picture."""


def write_rles(crops: Sequence[Crop], size: tuple[int, int]) -> list[Rle]:
    """As `segkit.core.rle.encode` of each crop in a picture of `size` (height, width)."""
    if not crops:
        return []
    edges, owner = _edges(crops, size)
    total = size[0] * size[1]
    # Every mask's edges, then the end of the picture: differences are the runs.
    counts = np.bincount(owner, minlength=len(crops)) + 1
    ends = np.cumsum(counts)
    starts = ends - counts
    places = np.full(ends[-1], total, np.int64)
    inner = np.ones(ends[-1], np.bool_)
    inner[ends - 1] = False
    places[inner] = edges
    lengths = np.diff(places, prepend=0)
    lengths[starts] = places[starts]
    return _compressed(lengths, starts, size)


def _edges(crops: Sequence[Crop], size: tuple[int, int]) -> tuple[Integers, Integers]:
    """Pixels, counted down the columns, where each mask changes between off and on; and the mask of each."""
    shapes = np.array([crop[0].shape for crop in crops], np.int64)
    offsets = np.concatenate([[0], np.cumsum(shapes[:, 1] * (shapes[:, 0] + 2))])
    # Columns as rows, with an off pixel at both ends so that no run leaves its column.
    flat = np.zeros(offsets[-1] + 1, np.uint8)
    for (mask, _, _), start, end in zip(crops, offsets.tolist(), offsets[1:].tolist(), strict=False):
        if mask.size:
            columns = flat[start:end].reshape(mask.shape[1], mask.shape[0] + 2)
            columns[:, 1:-1] = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8))
    found = np.flatnonzero(flat[1:] != flat[:-1])
    owner = np.searchsorted(offsets, found, side="right") - 1
    column, row = np.divmod(found - offsets[owner], shapes[owner, 0] + 2)
    corner = np.array([(left, top) for _, top, left in crops], np.int64)[owner]
    edges = (corner[:, 0] + column) * size[0] + corner[:, 1] + row
    # A run that ends with the picture's last row goes on where the next column begins on its first: one run, no edge.
    meets = np.flatnonzero((edges[1:] == edges[:-1]) & (owner[1:] == owner[:-1]))
    keep = edges < size[0] * size[1]
    keep[meets] = keep[meets + 1] = False
    return edges[keep], owner[keep]


def _compressed(lengths: Integers, starts: Integers, size: tuple[int, int]) -> list[Rle]:
    """COCO's strings of runs, mask after mask; `starts` are their first runs."""
    place = np.arange(len(lengths)) - np.repeat(starts, np.diff(starts, append=len(lengths)))
    later = np.flatnonzero(place > 2)
    rest = lengths.copy()
    rest[later] -= lengths[later - 2]
    characters, ends = groups_of(rest)
    text = characters.tobytes().decode("ascii")
    cuts = [0, *ends[np.append(starts[1:], len(lengths)) - 1].tolist()]
    sides = [int(size[0]), int(size[1])]
    return [{"size": list(sides), "counts": text[start:end]} for start, end in pairwise(cuts)]


def read_runs(masks: Sequence[Rle], size: Sequence[int] | None = None) -> Runs:
    """The runs of masks of one picture; `size` (height, width) is needed only to say what a picture without masks has.

    Raises:
        InputError: a mask has another size than the first, or its runs do not fill its picture.
    """
    height, width = size if size is not None else masks[0]["size"] if masks else (0, 0)
    refuse_other_sizes([mask["size"] for mask in masks], (height, width))
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


def refuse_other_sizes(given: Iterable[Sequence[int]], size: Sequence[int]) -> None:
    """Masks are compared pixel by pixel: all are of `size` (height, width).

    Raises:
        InputError: one is not.
    """
    height, width = size
    for index, (rows, columns) in enumerate(given):
        if (rows, columns) != (height, width):
            raise InputError(f"Mask {index} is {rows}x{columns} (height x width), but the picture is {height}x{width}.")


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
