"""What is in a batch of pictures, as the loss takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from segkit.core.data.augment.outlining import scene_of
from segkit.core.data.raster import densify, fill, overlapping
from segkit.core.images.geometry import Letterbox
from segkit.core.images.size import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segkit.core.data.loader import TrainBatch
    from segkit.core.data.sample import Sample

RATIO = 4
"""How much smaller than the input prototypes are."""


class Targets(NamedTuple):
    """The T objects of B pictures.

    Attributes:
        size: (height, width) of the input in pixels.
        owner: (T,) int64 picture of each, ascending.
        classes: (T,) int64.
        boxes: (T, 4) cx, cy, w, h in units of the input's sides.
        masks: with `overlapping` (B, h, w), where 0 is background and i + 1 the i-th object of the picture; else
            (T, h, w) zeros and ones.
        overlapping: how masks are told.
    """

    size: Size
    owner: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor
    overlapping: bool

    @classmethod
    def of(cls, batch: TrainBatch) -> Targets:
        """Of a training batch."""
        height, width = batch.images.shape[2:]
        return cls((height, width), batch.owner, batch.classes, batch.boxes, batch.masks, batch.overlapping)

    @classmethod
    def plain(cls, samples: Sequence[Sample], boxes: Sequence[Letterbox], device: torch.device) -> Targets:
        """Of pictures as they are, each letterboxed into one target, for a validation loss."""
        size = boxes[0].target
        owner, classes, corners, maps = [], [], [], []
        for number, (sample, box) in enumerate(zip(samples, boxes, strict=True)):
            scene = scene_of(np.broadcast_to(np.zeros(1, np.uint8), (*sample.size, 3)), sample.labels)
            points = scene.points * np.array(box.scale[::-1], np.float32) + np.array([box.left, box.top], np.float32)
            scene = scene.moved(scene.picture, points)
            crops = [fill([densify(part).astype(np.int32) for part in parts], size, RATIO) for parts in scene.parts()]
            together = overlapping(crops, (size[0] // RATIO, size[1] // RATIO))
            owner.append(np.full(len(scene), number, np.int64))
            classes.append(scene.classes[together.order])
            corners.append(scene.boxes[together.order])
            maps.append(together.map.astype(np.int32))
        x1, y1, x2, y2 = np.concatenate(corners).astype(np.float32).T / np.array([*size[::-1], *size[::-1]])[:, None]
        centred = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1).astype(np.float32)
        arrays = (np.concatenate(owner), np.concatenate(classes), centred, np.stack(maps))
        there = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(size, next(there), next(there), next(there), next(there), overlapping=True)
