"""Which pictures show the same, also where they were stored again: at another size, with another compression."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.checking.decoding import TINY, Look

CLOSE = 8
"""Grey levels by which no part of two tiny pictures differs where they are taken for one. Storing a picture again, at a
third of its size as JPEG, changed parts by up to 7; among 382 pictures of COCO and floor plans none are nearer than 33.
"""

SAME = 1
"""Likewise: of two that differ by no more, the first stands for both. A fixed camera takes thousands of such."""

_STEPS = 256 // CLOSE + 3
"""More than there are steps of brightness, one above and one below included."""


def alike(looks: Mapping[Path, Look]) -> list[list[Path]]:
    """Pictures in groups of those that show the same, in order of the first of each; most groups are one picture.

    Neighbours in a video often differ as little, and belong together as well. Pictures that cannot be decoded are in no
    group.
    """
    paths = [path for path, look in looks.items() if look.digest]
    if not paths:
        return []
    tiny = np.stack([looks[path].tiny for path in paths]).astype(np.int16)
    roots = list(range(len(paths)))

    def root(i: int) -> int:
        while roots[i] != i:
            roots[i] = i = roots[roots[i]]
        return i

    doubles: set[int] = set()
    for one, others in _candidates(tiny, doubles):
        apart = np.abs(tiny[others] - tiny[one]).max(axis=(1, 2))
        if apart.min() <= SAME:
            doubles.add(one)
        for other in others[apart <= CLOSE].tolist():
            low, high = sorted((root(one), root(other)))
            roots[high] = low
    groups: dict[int, list[Path]] = {}
    for i, path in enumerate(paths):
        groups.setdefault(root(i), []).append(path)
    return list(groups.values())


def _candidates(tiny: NDArray[np.int16], doubles: Container[int]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each picture, and those before it whose four quarters are about as bright: few, however many there are.

    Pictures that differ nowhere by more than CLOSE do not differ by more on average, in no quarter of them: they are in
    the same cell or in neighbouring ones, when brightness is divided into steps larger than that. `doubles` are those
    that no later one need be compared with; the caller may add a picture when it was given it.
    """
    half = TINY // 2
    quarters = tiny.reshape(-1, 2, half, 2, half).mean(axis=(2, 4)).reshape(-1, 4)
    scale = _STEPS ** np.arange(4)
    cells = ((quarters / (CLOSE + 1)).astype(int) + 1) @ scale
    around = (np.array(list(product((-1, 0, 1), repeat=4))) @ scale).tolist()
    met: dict[int, list[int]] = {}
    for one, cell in enumerate(cells.tolist()):
        if found := [other for step in around for other in met.get(cell + step, ())]:
            yield one, np.array(found)
        if one not in doubles:
            met.setdefault(cell, []).append(one)
