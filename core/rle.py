"""COCO run-length encoding, compressed as in COCO's JSON files.

Runs go down the columns and alternate between off and on, beginning with off. The compressed string holds each run's
length, from the fourth run on as the difference to the length two runs before, in groups of 5 bits with a continuation
bit, lowest first and sign extended, as printable characters from '0' on.
"""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray


class Rle(TypedDict):
    """A COCO mask: `size` [height, width] and the compressed runs."""

    size: list[int]
    counts: str


def encode(crop: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Rle:
    """The mask of a picture of `size` (height, width) that is `crop` (h, w) at `top`, `left` and off elsewhere."""
    return {"size": [int(size[0]), int(size[1])], "counts": compress(runs(crop, top, left, size))}


def decode(rle: Rle) -> NDArray[np.bool_]:
    """The mask (height, width) of a compressed encoding."""
    height, width = rle["size"]
    lengths = decompress(rle["counts"])
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def runs(crop: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> NDArray[np.int64]:
    """(K,) lengths of the runs, in work proportional to the crop rather than to the picture."""
    if not crop.size:
        return np.array([size[0] * size[1]], np.int64)
    # Columns become rows, with an off pixel at both ends so that no run leaves its column.
    framed = cv2.copyMakeBorder(np.ascontiguousarray(crop).view(np.uint8), 1, 1, 0, 0, cv2.BORDER_CONSTANT, value=0)
    flat = cv2.transpose(framed).ravel()
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), crop.shape[0] + 2)
    edges = (left + column) * size[0] + top + row
    # A run that ends with the picture's last row goes on where the next column begins on its first: one run, no edge.
    if len(meets := np.flatnonzero(edges[1:] == edges[:-1])):
        edges = np.delete(edges, np.concatenate([meets, meets + 1]))
    total = size[0] * size[1]
    if len(edges) and edges[-1] == total:
        edges = edges[:-1]
    return np.diff(edges, prepend=0, append=total)


_GROUPS = np.array([1 << 5 * count - 1 for count in range(1, 13)], np.int64)
"""Numbers from here on need more than 1, 2, 3, … groups, of which the last one holds the sign."""


def compress(lengths: NDArray[np.int64]) -> str:
    """The compressed string of run lengths (K,), at least one."""
    rest = lengths.astype(np.int64)
    rest[3:] -= lengths[1:-2]
    return groups_of(rest)[0].tobytes().decode("ascii")


def groups_of(numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The characters of numbers (K,), at least one, and where those of each end: (K,)."""
    magnitude = numbers ^ (numbers >> 63)  # -1 needs as much as 0, -2 as much as 1, and so on
    count = 1 + np.searchsorted(_GROUPS, magnitude, side="right")
    ends = np.cumsum(count)
    place = np.arange(ends[-1]) - np.repeat(ends - count, count)
    characters: NDArray[np.int64] = (np.repeat(numbers, count) >> 5 * place & 31) + 48 + 32
    characters[ends - 1] -= 32  # nothing follows
    return characters.astype(np.uint8), ends


def decompress(counts: str) -> NDArray[np.int64]:
    """The run lengths of a compressed string."""
    lengths: list[int] = []
    value = shift = 0
    for byte in counts.encode("ascii"):
        group = byte - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return np.array(lengths, np.int64)
