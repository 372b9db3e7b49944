"""A batch from its samples, made in memory that is there already: by a worker process, or in this one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.pictures import NONE
from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.augment.sample import centred_boxes, drawn_masks
from segkit.core.data.augment.scene import Scene
from segkit.core.data.loading.shared import Block
from segkit.core.data.order import Order, Share

_PER_PICTURE = 64
"""Masks of its own that a picture of a batch has room for, where each object has one. More go another way."""

_ALIGNED = 64
"""Bytes: masks begin at a multiple of it."""


class Made(NamedTuple):
    """A batch of B pictures with T objects: what is not in the memory it was made in.

    Attributes:
        share: what was asked for.
        owner: (T,) int64 the picture of each object, ascending.
        classes: (T,) int64.
        boxes: (T, 4) float32 centre x, y, width, height in units of the picture's sides.
        kind: dtype of the masks.
        shape: of the masks; they lie in the memory behind the pictures.
        apart: the masks themselves, where there was no room.
    """

    share: Share
    owner: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    kind: str
    shape: tuple[int, ...]
    apart: NDArray[Any] | None


class Slots:
    """Memory for several batches. Pickled as its block is."""

    def __init__(self, count: int, room: int) -> None:
        """For `count` batches of `room` bytes each."""
        self.block = Block(count * room)
        self._room = room

    def memory(self, number: int) -> NDArray[np.uint8]:
        """(R,) the memory of one."""
        return self.block.array(np.uint8, (self._room,), number * self._room)


def room(samples: TrainingSamples, order: Order) -> int:
    """Bytes that every batch finds enough, but for masks of very many objects."""
    batch, ratio = -(-order.batch // order.world), samples.arguments.mask_ratio
    each = np.dtype(np.int32).itemsize if samples.arguments.overlap_mask else _PER_PICTURE
    return max(_behind(batch, size) + batch * each * prod(size) // ratio**2 for size in order.sizes())


def images_shape(share: Share) -> tuple[int, ...]:
    """(B, 3, H, W) of the pictures of a batch, which lie at the beginning of its memory."""
    return len(share.indices), 3, *share.size


def masks_start(share: Share) -> int:
    """The byte at which its masks begin."""
    return _behind(len(share.indices), share.size)


def _behind(batch: int, size: tuple[int, int]) -> int:
    return -(-batch * 3 * prod(size) // _ALIGNED) * _ALIGNED


class Maker:
    """Makes batches."""

    def __init__(self, samples: TrainingSamples) -> None:
        """Of these samples."""
        self._samples = samples

    def make(self, share: Share, memory: NDArray[np.uint8], working: Callable[[int], object]) -> Made:
        """Make a batch.

        Args:
            share: which.
            memory: (R,) R as `room` says.
            working: called with the number of a sample before it is made, and with `NONE` at the end.

        Raises:
            SourceError: a picture cannot be read any more.
        """
        images = memory[: prod(images_shape(share))].reshape(images_shape(share))
        arguments = self._samples.arguments
        found, masks = [], []
        for image, index in zip(images, share.indices, strict=True):
            working(index)
            scene, bgr = self._samples.scene(index, share.epoch, share.size)
            cv2.split(scene.picture, [*image] if bgr else [*image[::-1]])
            drawn, order = drawn_masks(scene, arguments.mask_ratio, overlap=arguments.overlap_mask)
            found.append((scene, order))
            masks.append(drawn)
        working(NONE)
        owner, classes, boxes = _objects(found)
        kind = max((each.dtype for each in masks), key=lambda dtype: dtype.itemsize)
        shape = (len(masks), *masks[0].shape) if arguments.overlap_mask else (len(owner), *masks[0].shape[1:])
        start, size = masks_start(share), kind.itemsize * prod(shape)
        fits = start + size <= len(memory)
        place = memory[start : start + size].view(kind).reshape(shape) if fits else np.empty(shape, kind)
        (np.stack if arguments.overlap_mask else np.concatenate)(masks, out=place)
        return Made(share, owner, classes, boxes, kind.str, shape, None if fits else place)


def _objects(
    found: list[tuple[Scene, NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    owner = np.repeat(np.arange(len(found)), [len(scene) for scene, _ in found])
    classes = np.concatenate([scene.classes[order] for scene, order in found])
    boxes = np.concatenate([centred_boxes(scene.unit_boxes[order]) for scene, order in found])
    return owner, classes, boxes
