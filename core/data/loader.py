"""Batches of training samples as tensors. The one module of `core/data` that needs torch."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count as counting
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from segkit.core import cores
from segkit.core.data.augment.pictures import Pictures
from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.loading.caching import open_cache
from segkit.core.data.loading.making import Made, Maker, Slots, images_shape, masks_start, room
from segkit.core.data.loading.packed import Packed
from segkit.core.data.loading.pool import Hand, Here, Pool, slots
from segkit.core.data.loading.process import NOTED, Setup, WorkerProcess
from segkit.core.data.loading.recent import recent_stores
from segkit.core.data.loading.shared import Block
from segkit.core.data.order import Neighbours, Order, Share
from segkit.core.errors import OptionError

MOST_WORKERS = 8
"""Workers where the user does not say how many: more are rarely waited for."""

_KINDS = {"|u1": torch.uint8, "<i4": torch.int32}


@dataclass(frozen=True, eq=False)
class TrainBatch:
    """B pictures with T objects, or one process's share of them.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        owner: (T,) int64 the picture of each object, ascending.
        classes: (T,) int64.
        boxes: (T, 4) float32 centre x, y, width, height in units of the picture's sides.
        masks: r times smaller than the pictures, r the mask ratio. With `overlapping` (B, H / r, W / r) uint8, or int32
            where a picture has more than 255 objects: 0 is background, i + 1 the i-th object of the picture. Else
            (T, H / r, W / r) uint8 of zeros and ones.
        overlapping: how masks are told.
        indices: the samples.
        paths: their pictures.
        epoch: from 0.
        number: of the batch in the epoch, from 0.
        whole: samples of the batch over all processes.
        counted: False for a share that is to be counted as nothing: there are more processes than samples in the batch.
    """

    images: Tensor
    owner: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor
    overlapping: bool
    indices: tuple[int, ...]
    paths: tuple[Path, ...]
    epoch: int
    number: int
    whole: int
    counted: bool

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TrainBatch:
        """The same on a device; `non_blocking` needs `pin_memory` to be of use."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TrainBatch:
        """The same in memory that a GPU reads by itself."""
        return self._with(lambda tensor: tensor.pin_memory())

    def copied(self) -> TrainBatch:
        """The same in memory of its own."""
        return self._with(torch.clone)

    def _with(self, change: Callable[[Tensor], Tensor]) -> TrainBatch:
        return replace(
            self,
            images=change(self.images),
            owner=change(self.owner),
            classes=change(self.classes),
            boxes=change(self.boxes),
            masks=change(self.masks),
        )


class TrainLoader:
    """The batches of every epoch, made ahead of their use. A context manager, or `close` it.

    Whatever the number of workers, batches are the same bit for bit. One thread uses it.
    """

    def __init__(
        self,
        samples: TrainingSamples,
        order: Order,
        *,
        workers: int | None = None,
        pin: bool = False,
        cache: str = "off",
    ) -> None:
        """Start nothing yet, but fill a cache.

        Args:
            samples: makes the samples.
            order: of the same samples.
            workers: processes that make batches; 0 for a thread of this one, None for as many as the processor has
                cores for.
            pin: give batches in memory that a GPU reads by itself, where there is one.
            cache: off, ram or disk: where all pictures are kept, read and brought to size (`loading.caching`). Else the
                latest ones are, in `samples.pictures.memory` bytes for each worker.

        Raises:
            OptionError: a size of a batch that the mask ratio does not divide, no kind of cache, less than no workers.
            SourceError: with a cache, a picture that cannot be read any more.
        """
        if order.samples != len(samples):
            raise ValueError(f"the order is of {order.samples} samples, there are {len(samples)}")
        if workers is not None and workers < 0:
            raise OptionError.invalid("workers", workers, "give 0 or more")
        for size in order.sizes():
            samples.check(size)
        processes = _on_this_machine(order.world)
        count = _usual_workers(processes) if workers is None else workers
        labelled, partners = Packed(samples.pictures.labelled), Neighbours(order)
        kept = open_cache(cache, labelled, samples.side, processes)
        stores = [kept] if kept or not count else recent_stores(samples, order, count)
        memory = Slots(slots(max(count, 1)), room(samples, order))
        blocks = [labelled.block, memory.block, *(stores[0].blocks if stores[0] else ())]
        makers = [samples.using(Pictures(labelled, samples.pictures.memory, store), partners) for store in stores]
        hands: Sequence[Hand] = [Here(Maker(makers[0]), memory)]
        if count:
            blocks.append(doing := Block(NOTED * count))
            handles = tuple(handle for block in blocks for handle in block.handles)
            setups = [Setup(makers[number % len(makers)], memory, doing, number) for number in range(count)]
            hands = [WorkerProcess(setup, handles) for setup in setups]
        self._tensors = _Tensors(labelled, memory, overlapping=samples.arguments.overlap_mask, pin=pin)
        self._pool = Pool(hands, self._tensors)
        self._order, self._epochs = order, samples.epochs
        self._place: tuple[int, int] | None = None
        self._readers = 0
        self._end = weakref.finalize(self, _end, self._pool, blocks)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._order)

    def epoch(self, epoch: int, start: int = 0) -> Generator[TrainBatch, None, None]:
        """The batches of an epoch, from batch number `start` on. Another epoch that is not at its end is given up.

        Those of the next epoch are begun ahead, if the run has one.

        Raises (while it is gone through):
            SourceError: a picture cannot be read any more.
            TrainingError: a worker has died.
        """
        if not self._end.alive:
            raise ValueError("the loader is closed")
        self._tensors.prepare()
        if self._place != (epoch, start):
            self._pool.begin(_shares(self._order, epoch, start, self._epochs))
            self._place = epoch, start
        self._readers += 1
        return self._batches(self._readers, epoch, start)

    def close(self) -> None:
        """End the workers and give the memory back; batches that are in use stay as they are."""
        self._end()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _batches(self, reader: int, epoch: int, start: int) -> Generator[TrainBatch, None, None]:
        for number in range(start, len(self)):
            if reader != self._readers or not self._end.alive:
                raise ValueError(f"epoch {epoch} was given up: another one was begun, or the loader was closed")
            self._place = None  # unless it comes
            found = self._pool.next()
            assert found is not None
            batch, stays = found
            if number + 1 < len(self):
                self._place = epoch, number + 1
            elif self._epochs is None or epoch + 1 < self._epochs:
                self._place = epoch + 1, 0
            yield batch if stays else batch.copied()


class _Tensors:
    """Makes tensors of what a pool makes."""

    def __init__(self, labelled: Packed, slots: Slots, *, overlapping: bool, pin: bool) -> None:
        """Take where the paths of pictures are, where batches are made, and how they are to be given."""
        self._labelled, self._slots, self._overlapping = labelled, slots, overlapping
        self._pin = pin and torch.accelerator.is_available()
        self._device = 0

    def prepare(self) -> None:
        """In the thread that is going to use the batches: its device is that of the memory for them."""
        if self._pin:
            self._device = torch.accelerator.current_device_index()

    def __call__(self, made: Made, slot: int, release: Callable[[], None]) -> TrainBatch:
        """The tensors of a batch. They lie in its slot; when the last one has gone, it is released."""
        memory = self._slots.memory(slot)
        weakref.finalize(memory, release).atexit = False
        share, whole = made.share, torch.from_numpy(memory)
        batch = TrainBatch(
            whole[: prod(images_shape(share))].view(images_shape(share)),
            torch.from_numpy(made.owner),
            torch.from_numpy(made.classes),
            torch.from_numpy(made.boxes),
            _masks(whole, made),
            self._overlapping,
            share.indices,
            tuple(self._labelled.path(index) for index in share.indices),
            share.epoch,
            share.number,
            share.whole,
            share.counted,
        )
        if not self._pin:
            return batch
        torch.accelerator.set_device_index(self._device)  # a thread begins with the first one
        return batch.pin_memory()


def _shares(order: Order, epoch: int, start: int, epochs: int | None) -> Iterator[Share]:
    """Those of a run from one place on; an epoch beyond its end comes alone. No method: a loader that is at work may be
    collected.
    """
    yield from order.epoch(epoch, start)
    for later in counting(epoch + 1) if epochs is None else range(epoch + 1, epochs):
        yield from order.epoch(later)


def _on_this_machine(processes: int) -> int:
    """Of the processes of a training: what torch's launcher says, or else all."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(said) if said.isdigit() else processes


def _masks(memory: Tensor, made: Made) -> Tensor:
    if made.apart is not None:
        return torch.from_numpy(made.apart)
    kind, start = _KINDS[made.kind], masks_start(made.share)
    return memory[start : start + kind.itemsize * prod(made.shape)].view(kind).view(made.shape)


def _usual_workers(processes: int) -> int:
    return min(max(len(cores.usable()) // processes, 1), MOST_WORKERS)


def _end(pool: Pool[TrainBatch], blocks: list[Block]) -> None:
    pool.close()
    for block in blocks:
        block.close()
