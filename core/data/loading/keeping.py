"""Pictures of a data set that are read and brought to size once, side by side in memory or in a file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.data.augment.labelled import Labelled
from segkit.core.data.augment.pictures import Pictures, size_at
from segkit.core.data.loading.shared import Arrays, Block
from segkit.core.images.batch import Picture
from segkit.core.notices import progress


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the pictures of a data set lie once their long sides are `side` pixels.

    Attributes:
        side: in pixels.
        shapes: (N, 2) int64 height and width.
        starts: (N + 1,) int64 the first byte of each, and the end.
    """

    side: int
    shapes: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, labelled: Labelled, side: int) -> Layout:
        """Of the pictures as they were when the data set was opened."""
        shapes = np.array([size_at(labelled.size(index), side) for index in range(len(labelled))], np.int64)
        return cls(side, shapes, np.concatenate([[0], np.cumsum(shapes.prod(axis=1) * 3)]))

    @property
    def total(self) -> int:
        """Bytes of all."""
        return int(self.starts[-1])


class Kept:
    """A store that holds all pictures but those that have changed since the data set was opened. Never written to.

    Pickled, it is the same in a worker: see `Block`.
    """

    def __init__(self, layout: Layout, present: NDArray[np.bool_], pixels: Block | Path, start: int = 0) -> None:
        """Take pictures that lie in a block, or in a file from byte `start` on."""
        self.side = layout.side
        self._tables = Arrays({"shapes": layout.shapes, "starts": layout.starts, "present": present})
        self._source, self._start = pixels, start
        self._open()

    def __getstate__(self) -> tuple[Any, ...]:
        """For a worker."""
        return self.side, self._tables, self._source, self._start

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """In a worker."""
        self.side, self._tables, self._source, self._start = state
        self._open()

    @property
    def blocks(self) -> list[Block]:
        """The memory that it is in."""
        return [self._tables.block, *([self._source] if isinstance(self._source, Block) else [])]

    def get(self, index: int) -> Picture | None:
        """A picture, not to be written to."""
        if not self._present[index]:
            return None
        start, end = self._starts[index : index + 2].tolist()
        return self._pixels[start:end].reshape(*self._shapes[index].tolist(), 3)

    def put(self, index: int, picture: Picture) -> None:
        """What is not here has changed: there is no room for it."""

    def _open(self) -> None:
        self._shapes, self._starts = self._tables["shapes"], self._tables["starts"]
        self._present = self._tables["present"]
        total = int(self._starts[-1])
        if isinstance(self._source, Block):
            self._pixels = self._source.array(np.uint8, (total,))
            self._pixels.flags.writeable = False
        else:
            self._pixels = np.memmap(self._source, np.uint8, "r", self._start, (total,))


def fill(labelled: Labelled, layout: Layout, keep: Callable[[int, Picture], object], words: str) -> NDArray[np.bool_]:
    """Read all pictures, in threads, and show how far that is.

    Args:
        labelled: the pictures.
        layout: how large they are expected to be.
        keep: called with the number and the pixels of each that is as large, from several threads.
        words: what is being done.

    Returns:
        (N,) which ones were kept.

    Raises:
        SourceError: one cannot be read any more.
    """
    pictures, present = Pictures(labelled), np.zeros(len(labelled), np.bool_)

    def one(index: int) -> bool:
        picture = pictures.picture(index, layout.side)
        expected = picture.shape[:2] == tuple(layout.shapes[index].tolist())
        if expected:
            keep(index, picture)
        return expected

    pool = ThreadPoolExecutor(len(cores.usable()))
    with progress(words, len(labelled), unit="pictures") as advance:
        try:
            for index, expected in enumerate(pool.map(one, range(len(labelled)))):
                present[index] = expected
                advance(1)
        finally:  # an error, or Ctrl-C: what has not been begun is not begun any more
            pool.shutdown(cancel_futures=True)
    return present
