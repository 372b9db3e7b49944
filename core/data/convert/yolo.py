"""A data set with a label file a picture, read for writing it in another form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segkit.core.data.convert.places import common_folder
from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.dataset import Dataset, Sample, open_dataset
from segkit.core.data.description import read_description
from segkit.core.data.tracing import trace
from segkit.core.rle import decode


def read_yolo(source: Path) -> Material:
    """The material of a description, with all the splits that it has; what is wrong with it is counted by kind.

    Raises:
        SourceError: it is no description, or a split has no usable picture.
    """
    splits = [(split, open_dataset(source, split, cache=False)) for split in read_description(source).splits]
    skipped: Counter[str] = Counter()
    for _, dataset in splits:
        skipped.update(str(problem.kind) for problem in dataset.problems if problem.dropped)
    names = tuple(splits[0][1].names.values())
    return Material(
        names, {split: _Split(dataset) for split, dataset in splits}, {split: len(d) for split, d in splits}, skipped
    )


@dataclass(frozen=True)
class _Split:
    dataset: Dataset

    def __iter__(self) -> Iterator[Picture]:
        folder = common_folder([sample.path for sample in self.dataset])
        used: set[int] = set()
        for sample in self.dataset:
            ident = sample.image_id if isinstance(sample.image_id, int) and sample.image_id not in used else None
            used.update(() if ident is None else (ident,))
            name = sample.path.relative_to(folder).as_posix()
            yield Picture(name, sample.size, tuple(_items(sample)), sample.path, ident)


def _items(sample: Sample) -> Iterator[Item]:
    height, width = sample.size
    labels = sample.labels
    for category, box, shape in zip(labels.classes, labels.boxes, labels.shapes, strict=True):
        if isinstance(shape, dict):
            parts = trace(decode(shape))
        else:
            parts = tuple(outline.astype(np.float64) * [width, height] for outline in shape)
        yield Item(int(category), parts, box.astype(np.float64) * [width, height, width, height])
