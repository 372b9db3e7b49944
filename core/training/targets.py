"""What is in a batch of pictures, as the loss takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from segkit.core.data.augment.outlining import scene_of
from segkit.core.data.augment.sample import centred_boxes, drawn_masks
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
        owner, classes, centred, maps = [], [], [], []
        for number, (sample, box) in enumerate(zip(samples, boxes, strict=True)):
            scene = scene_of(np.broadcast_to(np.zeros(1, np.uint8), (*sample.size, 3)), sample.labels)
            points = scene.points * np.array(box.scale[::-1], np.float32) + np.array([box.left, box.top], np.float32)
            scene = scene.moved(np.broadcast_to(np.zeros(1, np.uint8), (*size, 3)), points)
            masks, order = drawn_masks(scene, RATIO, overlap=True)
            owner.append(np.full(len(scene), number, np.int64))
            classes.append(scene.classes[order])
            centred.append(centred_boxes(scene.unit_boxes[order]))
            maps.append(masks.astype(np.int32))
        arrays = (np.concatenate(owner), np.concatenate(classes), np.concatenate(centred), np.stack(maps))
        there = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(size, next(there), next(there), next(there), next(there), overlapping=True)
