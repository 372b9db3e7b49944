"""What a run needs before its first epoch: data sets that fit together, and the numbers that follow from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.core.data.dataset import Dataset, open_dataset
from segkit.core.data.named.catalogue import locate
from segkit.core.data.problems import Kind
from segkit.core.errors import InputError, OptionError, SourceError
from segkit.core.notices import notice
from segkit.core.training.arguments import TrainArguments

if TYPE_CHECKING:
    from segkit.core.training.processes import Processes


class Sets(NamedTuple):
    """The pictures to learn from, and those to validate with, if any."""

    train: Dataset
    val: Dataset | None


def open_sets(args: TrainArguments, processes: Processes) -> Sets:
    """Open both splits of the data set.

    Raises:
        OptionError: no data set is named.
        SourceError: a split is missing or empty, or nothing in it can be used.
        InputError: the splits have different classes.
    """
    if args.data is None:
        raise OptionError(
            "train needs a labelled data set: give data, e.g. data=coco128-seg.yaml, a COCO instances .json, "
            "or a folder with one of them."
        )
    wanted = ["train", *(["val"] if args.val else [])]
    place = locate(args.data, download=args.download and processes.first, splits=wanted) if processes.first else None
    place = processes.told(place)
    train, *rest = (open_dataset(place, split, single_cls=args.single_cls, classes=args.classes) for split in wanted)
    if not any(len(sample.labels) for sample in train):
        raise SourceError(train.source, "nothing to learn: no object is labelled in its split 'train'")
    val = rest[0] if rest else None
    if val is not None and not any(len(sample.labels) for sample in val):
        notice("no object is labelled in the split 'val': the run is not validated")
        val = None
    if val is not None and val.names != train.names:
        raise InputError(f"The splits of {train.source} have different classes: one file names them for all.")
    if processes.first:
        _say_dropped(train, val)
    return Sets(_part(train, args), val)


def _part(dataset: Dataset, args: TrainArguments) -> Dataset:
    """A share of the pictures, drawn by the seed, in their order."""
    if args.fraction == 1:
        return dataset
    count = max(round(len(dataset) * args.fraction), 1)
    chosen = np.sort(np.random.default_rng(args.seed).permutation(len(dataset))[:count])
    part = replace(dataset, samples=tuple(dataset.samples[index] for index in chosen.tolist()))
    if not any(len(sample.labels) for sample in part):
        raise OptionError.invalid("fraction", args.fraction, f"none of the {count} pictures has an object; give more")
    return part


def _say_dropped(train: Dataset, val: Dataset | None) -> None:
    rows = sum(sample.dropped for dataset in (train, val) if dataset is not None for sample in dataset)
    bad = (Kind.CORRUPT_PICTURE, Kind.MISSING_PICTURE)
    problems = [problem for each in (train, val) if each is not None for problem in each.problems]
    pictures = sum(problem.dropped and problem.kind in bad for problem in problems)
    if rows or pictures:
        notice(f"left out of the training: {rows} rows and {pictures} pictures. All: segkit data check {train.source}")


def digest(dataset: Dataset) -> str:
    """Another one once pictures, their order or their labels are other ones."""
    found = hashlib.sha256()
    for sample in dataset:
        found.update(f"{sample.path.name}{sample.size}{len(sample.labels)}".encode())
        found.update(np.ascontiguousarray(sample.labels.boxes).tobytes())
        found.update(sample.labels.classes.tobytes())
        for shape in sample.labels.shapes:
            parts = [shape["counts"].encode()] if isinstance(shape, dict) else [part.tobytes() for part in shape]
            found.update(b"".join(parts))
    return found.hexdigest()[:16]


def whole_batch(args: TrainArguments, pictures: int, fitting: Callable[[float], int]) -> int:
    """Pictures in a batch: what is asked for, or what fits into a share of the memory; no more than there are."""
    batch = int(args.batch) if args.batch >= 1 else fitting(args.batch)
    if batch > pictures:
        if args.batch >= 1:
            notice(f"batch={batch} is more than there are pictures: an epoch is one batch of {pictures}")
        return pictures
    return batch
