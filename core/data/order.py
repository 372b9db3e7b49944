"""Which pictures make which batch of an epoch, and which part of a batch each process of a training has.

All of it follows from the seed, the epoch and the batch's number: a run that is taken up again needs to know no more
than where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.sizes import draw_side, largest_side
from segkit.core.data.rectangles import rectangles
from segkit.core.errors import OptionError
from segkit.core.images.size import STRIDE, Size

NEAR = 16
"""Batches, in samples, that come before a sample and that its partners in a mosaic are of: they have just been read."""

_ORDERS = 2
"""Marks the generators of orders off from those of samples and of sizes."""


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Attributes:
        epoch: from 0.
        number: of the batch in its epoch, from 0.
        indices: the samples, at least one.
        size: (height, width) of the batch in pixels.
        whole: samples of the whole batch, over all processes.
        counted: False where the batch has fewer samples than there are processes and this one's share would be empty.
            Then its only sample is another one's, to be counted as nothing.
    """

    epoch: int
    number: int
    indices: tuple[int, ...]
    size: Size
    whole: int
    counted: bool = True


class Order:
    """The batches of every epoch. The last one of an epoch may be short. Picklable."""

    def __init__(
        self,
        sizes: int | Sequence[Size],
        batch: int,
        *,
        imgsz: Size = (640, 640),
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        multi_scale: float = 0.0,
        rect: bool = False,
        stride: int = STRIDE,
    ) -> None:
        """Say what there is and how it is divided.

        Args:
            sizes: number of samples; with `rect`, the (height, width) of each one's picture.
            batch: samples in a batch, over all processes.
            imgsz: (height, width) of a batch in pixels; with `rect` the longer side counts.
            seed: 0 or more; another seed gives another order.
            rank: number of this process, from 0.
            world: number of processes.
            multi_scale: largest change of `imgsz` from batch to batch, as a share of it.
            rect: batches of like shapes with the least border; which pictures make one is the same in every epoch.
            stride: the sides of batches that are not `imgsz` are multiples of it.

        Raises:
            OptionError: a number out of its range, `rect` without the sizes, or with `multi_scale`.
        """
        self.samples = sizes if isinstance(sizes, int) else len(sizes)
        self.batch, self.imgsz, self.seed = batch, imgsz, seed
        self.rank, self.world, self.multi_scale, self.stride = rank, world, multi_scale, stride
        for name, value, least in (("batch", batch, 1), ("samples", self.samples, 1), ("seed", seed, 0)):
            if value < least:
                raise OptionError.invalid(name, value, f"give {least} or more")
        if not 0 <= rank < world:
            raise OptionError.invalid("rank", rank, f"of {world} processes the numbers are 0 to {world - 1}")
        if rect and (multi_scale or isinstance(sizes, int)):
            words = "it chooses the sizes of batches, as multi_scale does" if multi_scale else "it needs all sizes"
            raise OptionError.invalid("rect", rect, words)
        self._rectangles = None
        if rect and not isinstance(sizes, int):
            self._rectangles = [
                (tuple(indices), shape) for indices, shape in rectangles(sizes, batch, max(imgsz), stride=stride)
            ]

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return ceil(self.samples / self.batch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Share]:
        """The shares of this process in the batches of an epoch, from batch number `start` on."""
        return (self.share(epoch, number) for number in range(start, len(self)))

    def share(self, epoch: int, number: int) -> Share:
        """The share of this process in one batch."""
        indices, size = self.batch_of(epoch, number)
        own = indices[self.rank :: self.world]
        counted = bool(own)
        return Share(epoch, number, own or (indices[self.rank % len(indices)],), size, len(indices), counted)

    def batch_of(self, epoch: int, number: int) -> tuple[tuple[int, ...], Size]:
        """The samples of one batch over all processes, and its (height, width)."""
        if self._rectangles is not None:
            return self._rectangles[int(_shuffled(self.seed, epoch, len(self._rectangles))[number])]
        drawn = _shuffled(self.seed, epoch, self.samples)[number * self.batch : (number + 1) * self.batch]
        return tuple(drawn.tolist()), self._size(epoch, number)

    def sequence(self, epoch: int) -> NDArray[np.int64]:
        """(N,) all samples of an epoch in their order."""
        if self._rectangles is None:
            return _shuffled(self.seed, epoch, self.samples)
        batches = (
            self._rectangles[number][0] for number in _shuffled(self.seed, epoch, len(self._rectangles)).tolist()
        )
        return np.fromiter(chain.from_iterable(batches), np.int64, self.samples)

    def sizes(self) -> list[Size]:
        """Every (height, width) that a batch can have, or larger ones."""
        if self._rectangles is not None:
            return sorted({size for _, size in self._rectangles})
        return [self.imgsz, self._scaled(largest_side(max(self.imgsz), self.multi_scale, self.stride))]

    def _size(self, epoch: int, number: int) -> Size:
        if not self.multi_scale:
            return self.imgsz
        return self._scaled(draw_side(self.seed, epoch, number, max(self.imgsz), self.multi_scale, self.stride))

    def _scaled(self, side: int) -> Size:
        """`imgsz` with its longer side `side`, the other one to the nearest multiple of the stride."""
        if side == max(self.imgsz):
            return self.imgsz
        height, width = (
            max(round(each * side / max(self.imgsz) / self.stride), 1) * self.stride for each in self.imgsz
        )
        return height, width


def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """(count,) 0 to count - 1 in another order for every epoch. Not to be written to."""
    drawn = np.random.default_rng(np.random.SeedSequence([seed, epoch, 0, _ORDERS])).permutation(count)
    drawn.flags.writeable = False
    return drawn


class Neighbours:
    """Partners for samples that are put together with others: some of those that come before them in the epoch.

    Any picture would do; but these have been read a short time ago, by whoever made their batches. They are other ones
    in every epoch. A batch of 64 or more is divided among up to 8 processes so that partners of a sample, which are 8,
    16, 24, … before it, are of the same process; of smaller batches every fourth, second or every sample is a partner,
    so that there are never much less than a hundred to choose from. In a small data set every picture is a partner.
    """

    def __init__(self, order: Order) -> None:
        """Take the order of the run."""
        self._order = order
        near = NEAR * order.batch
        few = order.samples <= near
        self._step = 1 if few else 1 << (min(max(order.batch // 8, 1), 8).bit_length() - 1)
        self._count = order.samples if few else max(near // self._step, 1)
        self._places: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def __getstate__(self) -> Order:
        """For another process."""
        return self._order

    def __setstate__(self, state: Order) -> None:
        """In the other process."""
        self.__init__(state)  # type: ignore[misc] # the same as made anew

    def draw(self, random: np.random.Generator, index: int, epoch: int) -> int:
        """A partner of a sample. Those before the first one are the last ones of the epoch."""
        known = self._places.get(epoch)
        if known is None:
            sequence = self._order.sequence(epoch)
            known = sequence, np.argsort(sequence)
            self._places = {epoch: known, **dict(list(self._places.items())[:1])}
        sequence, places = known
        before = self._step * (1 + int(random.integers(self._count)))
        return int(sequence[(places[index] - before) % len(sequence)])
