"""Run lengths of all masks of a picture at once: with hundreds of small masks, calls cost more than pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images.size import Size
from segkit.core.rle import Rle, groups_of

Crop = tuple[NDArray[np.bool_], int, int]
"""A mask (h, w) and its first row and column in the picture."""

Integers = NDArray[np.int64]


def encode_all(crops: Sequence[Crop], size: Size) -> list[Rle]:
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


def _edges(crops: Sequence[Crop], size: Size) -> tuple[Integers, Integers]:
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


def _compressed(lengths: Integers, starts: Integers, size: Size) -> list[Rle]:
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
