"""The labels of a whole data set as flat arrays that all workers share: of a large one there would not be room for each
to have its own, nor time to send them.
"""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.labelled import Labelled
from segkit.core.data.augment.outlining import Outlined
from segkit.core.data.loading.shared import Arrays, Block
from segkit.core.images.size import Size


class Packed(Labelled):
    """Labelled pictures in shared memory; see `Block` about pickling."""

    def __init__(self, labelled: Labelled) -> None:
        """Pack the pictures of a data set."""
        outlined, count = labelled.every(), len(labelled)
        names = [os.fsencode(labelled.path(index)) for index in range(count)]
        points = _borders(outlined.counts)
        outlines = _borders(outlined.outlines)
        self._arrays = Arrays(
            {
                "sizes": np.array([labelled.size(index) for index in range(count)], np.int32).reshape(-1, 2),
                "names": np.frombuffer(b"".join(names), np.uint8),
                "classes": outlined.classes,
                "known": outlined.known,
                "points": outlined.points,
                "counts": outlined.counts,
                "owners": outlined.owners,
                "objects": outlined.objects,
                "outlines": outlined.outlines,
                "name": _borders(np.array([len(name) for name in names], np.int64)),
                "object": _borders(outlined.objects),
                "outline": outlines,
                "point": points[outlines],
            }
        )
        self._open()

    def __getstate__(self) -> Arrays:
        """For a worker."""
        return self._arrays

    def __setstate__(self, state: Arrays) -> None:
        """In a worker."""
        self._arrays = state
        self._open()

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._sizes)

    @property
    def block(self) -> Block:
        """Where all of it is."""
        return self._arrays.block

    def path(self, index: int) -> Path:
        """The file of a picture."""
        start, end = self._name[index : index + 2].tolist()
        return Path(os.fsdecode(self._names[start:end].tobytes()))

    def size(self, index: int) -> Size:
        """Its (height, width) in pixels."""
        height, width = self._sizes[index].tolist()
        return height, width

    def outlined(self, index: int) -> Outlined:
        """Its objects."""
        (a, b), (c, d), (e, f) = (
            border[index : index + 2].tolist() for border in (self._object, self._outline, self._point)
        )
        every = self._every
        return Outlined(
            every.classes[a:b],
            every.known[a:b],
            every.points[e:f],
            every.counts[c:d],
            every.owners[c:d],
            every.objects[index : index + 1],
            every.outlines[index : index + 1],
        )

    def every(self) -> Outlined:
        """The objects of all pictures."""
        return self._every

    def _open(self) -> None:
        arrays = self._arrays
        self._sizes, self._names, self._name = arrays["sizes"], arrays["names"], arrays["name"]
        self._object, self._outline, self._point = arrays["object"], arrays["outline"], arrays["point"]
        self._every = Outlined(*(arrays[each.name] for each in fields(Outlined)))


def _borders(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N + 1,) where each of N pictures begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
