"""The pictures that were read last, for all workers together: in a mosaic, three of four are another sample's.

Each worker writes into slots of its own, the oldest one first, and reads from those of all. A slot has a counter that
is odd while it is written to; whoever copies a picture looks at it before and after, and has nothing if it has changed.
"""

from __future__ import annotations

import threading
from math import prod

import numpy as np

from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.loading.pool import AHEAD
from segkit.core.data.loading.shared import Block
from segkit.core.data.order import NEAR, Order
from segkit.core.images.batch import Picture

_HEAD = 32
"""Bytes that say what a slot holds: its counter, the picture's number, its height and width."""

_lock = threading.Lock()


class Recent:
    """The store of one worker. Pickled as its block is."""

    def __init__(self, block: Block, side: int, pictures: int, slots: int, workers: int, number: int) -> None:
        """Share a block.

        Args:
            block: with room for all of them.
            side: pixels of the long sides of pictures.
            pictures: how many there are.
            slots: how many each worker may keep.
            workers: how many there are.
            number: of this one.
        """
        self.side = side
        self._state = block, side, pictures, slots, workers, number
        self._first, self._slots, self._next = number * slots, slots, 0
        start, heads = _aligned(4 * pictures), slots * workers
        self._places = block.array(np.int32, (pictures,))
        self._heads = block.array(np.int64, (heads, 4), start)
        self._pixels = block.array(np.uint8, (heads, side * side * 3), start + _HEAD * heads)

    def __getstate__(self) -> tuple[Block, int, int, int, int, int]:
        """For the worker."""
        return self._state

    def __setstate__(self, state: tuple[Block, int, int, int, int, int]) -> None:
        """In the worker."""
        self.__init__(*state)  # type: ignore[misc] # the same as made anew

    @property
    def blocks(self) -> list[Block]:
        """The memory of all of them."""
        return [self._state[0]]

    def get(self, index: int) -> Picture | None:
        """A copy of a picture, if it is here."""
        slot = int(self._places[index]) - 1
        if slot < 0:
            return None
        head = self._heads[slot]
        count, number, height, width = head.tolist()
        size = height * width * 3
        if count % 2 or number != index or size > self._pixels.shape[1]:
            return None
        _fence()
        picture = self._pixels[slot, :size].reshape(height, width, 3).copy()
        _fence()
        return picture if head.tolist() == [count, index, height, width] else None

    def put(self, index: int, picture: Picture) -> None:
        """Keep a picture in the place of the oldest one of this worker."""
        slot, self._next = self._first + self._next, (self._next + 1) % self._slots
        head = self._heads[slot]
        before = int(head[0])
        begun = before + 1 + before % 2  # it is odd already where a worker died as it wrote
        head[0] = begun
        _fence()
        head[1:] = index, *picture.shape[:2]
        self._pixels[slot, : picture.size] = picture.reshape(-1)
        _fence()
        head[0] = begun + 1
        _fence()
        self._places[index] = slot + 1


def recent_stores(samples: TrainingSamples, order: Order, workers: int) -> list[Recent] | list[None]:
    """A store for each worker: together for all pictures that are soon wanted again, if there is memory for them.

    Each worker adds what the samples would keep themselves; nothing is kept where that is less than a picture.
    """
    side, pictures = samples.side, len(samples)
    each = prod((side, side, 3))
    soon = (NEAR + AHEAD * workers + 1) * -(-order.batch // order.world)
    wanted = -(-min(pictures, soon) // workers)
    slots = min(wanted, samples.pictures.memory // each)
    if not slots:
        return [None] * workers
    block = Block(_aligned(4 * pictures) + slots * workers * (_HEAD + each))
    return [Recent(block, side, pictures, slots, workers, number) for number in range(workers)]


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


def _fence() -> None:
    """What is written before is seen before, also by processors that do not promise that themselves."""
    with _lock:
        pass
    with _lock:
        pass
