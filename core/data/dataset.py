"""Opening a data set: which pictures it has, how large they are, what is labelled in them, what is wrong with it.

No pixel is decoded for that. Bad rows and pictures are left out one by one and listed, never the whole set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import overload

import numpy as np

from segkit.core.data.description import is_description, read_description
from segkit.core.data.named.catalogue import locate
from segkit.core.data.named.coco_classes import CATEGORY_IDS, NAMES
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.coco import is_coco, read_coco
from segkit.core.data.reading.folders import read_folders
from segkit.core.data.sample import Sample, Scan
from segkit.core.errors import OptionError, SourceError

__all__ = ["Dataset", "Sample", "open_dataset", "scan_dataset"]

SINGLE = MappingProxyType({0: "item"})
"""The names of a data set whose classes are taken as one."""


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Sample]):
    """The labelled pictures of one split.

    Attributes:
        source: the description or the COCO file that it was read from.
        split: which of its splits this is.
        names: class names by index.
        samples: the readable pictures.
        problems: everything that is wrong, also with pictures and rows that were left out.
        category_ids: COCO's category numbers by class index, where the set has such; else None.
    """

    source: Path
    split: str
    names: dict[int, str]
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()
    category_ids: Mapping[int, int] | None = None

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """One picture, or several."""
        return self.samples[index]


def open_dataset(
    data: str | Path,
    split: str = "val",
    *,
    single_cls: bool = False,
    classes: Sequence[int] | None = None,
    cache: bool = True,
) -> Dataset:
    """The labelled pictures of a split.

    Args:
        data: a description (data.yaml), a COCO file of instances (.json), a folder with exactly one of them, or the
            name of a known data set.
        split: train, val or test. A COCO file is one split, whatever it is called.
        single_cls: take all classes as one, number 0.
        classes: indices of the classes whose objects are kept; the pictures stay, all of them.
        cache: keep what was parsed, and use what was kept if the files are still the same.

    Raises:
        SourceError: nothing there, no such split, no pictures, no label files, or no usable row in them.
        OptionError: a class index that the data set does not have.
    """
    dataset = scan_dataset(data, split, cache=cache)
    if problem := _useless(dataset):
        first = f"; the first problem: {dataset.problems[0]}" if dataset.problems else ""
        raise SourceError(dataset.source, problem + first)
    if classes is not None:
        dataset = replace(dataset, samples=_only(dataset, classes))
    if single_cls:
        dataset = replace(dataset, samples=_as_one(dataset), names=dict(SINGLE), category_ids=None)
    return dataset


def scan_dataset(data: str | Path, split: str = "val", *, cache: bool = True) -> Dataset:
    """The same for those who look for faults: a set of which nothing can be used is no error, its problems tell.

    Args:
        data: as for `open_dataset`.
        split: likewise.
        cache: likewise.

    Raises:
        SourceError: nothing there, no such split, or no pictures.
    """
    source = find(data)
    if is_coco(source):
        scan = read_coco(source, cache=cache)
        names: Mapping[int, str] = scan.names or {}
    else:
        description = read_description(source)
        names = description.names
        scan = _together([_scan(place, names, cache) for place in description.places(split)])
        if scan.category_ids is None and tuple(names.values()) == NAMES:
            scan = replace(scan, category_ids=dict(enumerate(CATEGORY_IDS)))
    if not scan.samples and not scan.problems:
        raise SourceError(source, f"its split '{split}' has no pictures")
    return Dataset(source, split, dict(names), tuple(scan.samples), tuple(scan.problems), scan.category_ids)


def find(data: str | Path) -> Path:
    """The description or the COCO file that is meant by `data`.

    Raises:
        SourceError: there is none, or a folder with several.
    """
    path = locate(data)
    if not path.is_dir():
        if is_coco(path) or is_description(path):
            return path
        raise SourceError(data, "a data set is a data.yaml, a COCO file (.json), or a folder with one of them")
    try:
        files = sorted(each for each in path.iterdir() if each.is_file())
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None
    for found in ([each for each in files if is_description(each)], [each for each in files if is_coco(each)]):
        if len(found) > 1:
            raise SourceError(path, f"it holds several data sets, give one: {', '.join(each.name for each in found)}")
        if found:
            return found[0]
    raise SourceError(path, "the folder holds no data.yaml and no COCO file (.json)")


def _scan(place: str, names: Mapping[int, str], cache: bool) -> Scan:
    if is_coco(Path(place)):
        return read_coco(Path(place), names, cache=cache)
    return read_folders(place, len(names), cache=cache)


def _together(scans: Sequence[Scan]) -> Scan:
    if len(scans) == 1:
        return scans[0]
    ids = {index: number for scan in scans for index, number in (scan.category_ids or {}).items()}
    samples = [sample for scan in scans for sample in scan.samples]
    return Scan(samples, [problem for scan in scans for problem in scan.problems], None, ids or None)


def _useless(dataset: Dataset) -> str | None:
    """Why nothing can be done with a data set, if that is so."""
    if not dataset.samples:
        return f"none of the pictures of its split '{dataset.split}' can be used"
    if any(len(sample.labels) for sample in dataset):
        return None
    if dropped := sum(sample.dropped for sample in dataset):
        return f"all {dropped} rows of its labels are bad"
    if any(problem.kind == Kind.UNREADABLE_LABEL for problem in dataset.problems):
        return "all files of its labels are bad"
    if all(sample.label is None for sample in dataset):
        return f"no picture of its split '{dataset.split}' has a label file"
    return None


def _only(dataset: Dataset, classes: Sequence[int]) -> tuple[Sample, ...]:
    if any(index not in dataset.names for index in classes):
        known = f"the data set has the classes 0 to {len(dataset.names) - 1}"
        raise OptionError.invalid("classes", list(classes), known)
    return tuple(
        replace(sample, labels=sample.labels[np.isin(sample.labels.classes, classes)]) if len(sample.labels) else sample
        for sample in dataset
    )


def _as_one(dataset: Dataset) -> tuple[Sample, ...]:
    return tuple(
        replace(sample, labels=replace(sample.labels, classes=np.zeros_like(sample.labels.classes)))
        for sample in dataset
    )
