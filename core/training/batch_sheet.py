"""A batch as the network gets it: its pictures in a grid, with the masks, boxes and classes that it is to learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segkit.core.data.augment.sample import TrainingSample
from segkit.core.data.augment.show import drawn, grid
from segkit.core.data.labels import Labels
from segkit.core.inference.saving import write_picture

if TYPE_CHECKING:
    from segkit.core.data.loader import TrainBatch

MOST = 16
"""Pictures of a batch that are drawn: the first."""

LONGEST = 1920
"""Pixels of the longer side of the sheet, about."""


def draw_batch(batch: TrainBatch, names: Mapping[int, str], path: Path) -> None:
    """Write the sheet of a batch as JPEG. Masks are as coarse as those that the network learns from.

    Raises:
        OutputError: it cannot be written.
    """
    samples = list(_samples(batch))
    columns = math.ceil(math.sqrt(len(samples)))
    side = min(max(batch.images.shape[2:]), LONGEST // columns)
    write_picture(path, grid([drawn(sample, names, side) for sample in samples], columns))


def _samples(batch: TrainBatch) -> Iterator[TrainingSample]:
    """The first pictures, each with its part of the batch's objects."""
    owner, classes, boxes = (array.cpu().numpy() for array in (batch.owner, batch.classes, batch.boxes))
    masks = batch.masks.cpu().numpy()
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    for number, picture in enumerate(batch.images[:MOST].cpu().numpy()):
        mine = np.flatnonzero(owner == number)
        labels = Labels.of(classes[mine], [()] * len(mine), corners[mine])
        own = masks[number] if batch.overlapping else masks[mine]
        yield TrainingSample(number, Path(), np.ascontiguousarray(picture.transpose(1, 2, 0)), labels, own)
