"""What is to be divided: a folder of pictures and label files, or a description that has train alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segkit.core.data.dataset import find, scan_dataset
from segkit.core.data.describing import DESCRIPTION
from segkit.core.data.description import is_description, names_in, read_description
from segkit.core.data.named.catalogue import locate
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.coco import is_coco
from segkit.core.data.reading.folders import read_folders
from segkit.core.data.reading.yolo import label_of
from segkit.core.data.sample import Sample
from segkit.core.errors import SourceError

_NAMES = ("classes.txt", "labels/classes.txt", "obj.names")
"""Files in which labelling tools keep class names, one a line."""

_CONVERT = "a COCO file cannot be divided; make label files of it first: segkit data convert"

_CLASSES = 1 << 16
"""Classes that labels without names may have."""


@dataclass(frozen=True)
class Whole:
    """A data set before it is divided: its pictures, and where the new files go."""

    samples: Sequence[Sample]
    names: Mapping[int, str]
    folder: Path
    description: str
    left_out: int


def opened(source: str | Path) -> Whole:
    """The data set that is to be divided.

    Raises:
        SourceError: there is none, it is divided already, or its labels are not in files of their own.
    """
    path = locate(source)
    if path.is_dir() and (path / "images").is_dir() and not _undivided(path):
        return _of_folder(path)
    found = find(path)
    if is_coco(found):
        raise SourceError(source, _CONVERT)
    description = read_description(found)
    if others := [split for split in description.splits if split != "train"]:
        raise SourceError(source, f"it is divided already, it has {' and '.join(others)}; give its folder of images")
    dataset = scan_dataset(found, "train", cache=False)
    if any(len(sample.labels) and sample.label != label_of(sample.path) for sample in dataset):
        raise SourceError(source, _CONVERT)
    name = f"{found.stem}-split.yaml"
    return Whole(_once(dataset.samples), description.names, found.parent, name, _unreadable(dataset.problems))


def _undivided(folder: Path) -> bool:
    """Whether a folder holds one description, and that has train alone: it says more than the folder does."""
    found = [each for each in folder.iterdir() if is_description(each)]
    try:
        return len(found) == 1 and set(read_description(found[0]).splits) == {"train"}
    except SourceError:
        return False


def _of_folder(folder: Path) -> Whole:
    scan = read_folders(str(folder / "images"), _CLASSES, cache=False)
    if not scan.samples:
        raise SourceError(folder, "its folder images holds no picture that can be read")
    most = max((int(sample.labels.classes.max()) for sample in scan.samples if len(sample.labels)), default=-1)
    if most < 0:
        raise SourceError(folder, "no picture of it has a usable label; labels are looked for in its folder labels")
    names = _names(folder)
    if names and len(names) <= most:
        raise SourceError(folder, f"its labels have classes up to {most}, but only {len(names)} have a name")
    names = names or {index: f"class{index}" for index in range(most + 1)}
    return Whole(_once(scan.samples), names, folder, DESCRIPTION, _unreadable(scan.problems))


def _names(folder: Path) -> dict[int, str]:
    """Class names as a description or a labelling tool left them in a folder; empty where nothing does."""
    for each in sorted(each for each in folder.iterdir() if is_description(each)):
        with contextlib.suppress(SourceError):
            return names_in(each)
    for name in _NAMES:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines = [line.strip() for line in (folder / name).read_text(encoding="utf-8").splitlines()]
            if all(lines) and lines:
                return dict(enumerate(lines))
    return {}


def _unreadable(problems: Sequence[Problem]) -> int:
    return sum(problem.kind in (Kind.CORRUPT_PICTURE, Kind.MISSING_PICTURE) for problem in problems)


def _once(samples: Sequence[Sample]) -> list[Sample]:
    return list({sample.path: sample for sample in samples}.values())
