"""Faults that only show when files are compared: pictures that cannot be decoded, the same ones twice, labels without a
picture.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from segkit.core.data.checking.decoding import Look
from segkit.core.data.checking.likeness import alike
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.yolo import SUFFIX, label_of
from segkit.core.data.sample import Sample
from segkit.core.images.files import PICTURE_SUFFIXES

Splits = Mapping[str, Sequence[Sample]]


def corrupt(looks: Mapping[Path, Look]) -> Iterator[Problem]:
    """Pictures that cannot be decoded, though their size could be read."""
    for path, look in looks.items():
        if look.problem:
            yield Problem(Kind.CORRUPT_PICTURE, path, look.problem, dropped=True)


def duplicates(splits: Splits, looks: Mapping[Path, Look]) -> Iterator[Problem]:
    """Pictures of one split that show the same, pixel by pixel, as an earlier one of it, or that it names twice."""
    for split, samples in splits.items():
        for path, count in Counter(sample.path for sample in samples).items():
            if count > 1:
                yield Problem(Kind.DUPLICATE_PICTURE, path, f"{count} times in {split}")
        for group in _groups(samples, looks).values():
            for path in group[1:]:
                words = f"the same pixels as {_told(group[0], path)}, also in {split}"
                yield Problem(Kind.DUPLICATE_PICTURE, path, words)


def look_alikes(splits: Splits, looks: Mapping[Path, Look]) -> Iterator[Problem]:
    """Pictures of two splits that show the same but for how they are stored; neighbours in a video may be, too."""
    split_of = first_split(splits)
    for group in alike(looks):
        first = group[0]
        for path in group[1:]:
            if split_of[path] != split_of[first] and looks[path].digest != looks[first].digest:
                words = f"in {split_of[path]}; it looks the same as {_told(first, path)} in {split_of[first]}"
                yield Problem(Kind.DUPLICATE_PICTURE, path, words)


def first_split(splits: Splits) -> dict[Path, str]:
    """The split that each picture is in; the first of them where it is in several."""
    found: dict[Path, str] = {}
    for split, samples in splits.items():
        for sample in samples:
            found.setdefault(sample.path, split)
    return found


def overlaps(source: Path, splits: Splits, looks: Mapping[Path, Look]) -> Iterator[Problem]:
    """Pictures that two splits show: one problem for the files they share, one for every copy."""
    groups = {split: _groups(samples, looks) for split, samples in splits.items()}
    names = list(splits)
    for one, other in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        shared = {sample.path for sample in splits[one]} & {sample.path for sample in splits[other]}
        if shared:
            words = f"{len(shared)} of the {len(splits[other])} pictures of {other} are files of {one} too"
            yield Problem(Kind.SPLIT_OVERLAP, source, words)
        for digest in groups[one].keys() & groups[other].keys():
            first = groups[one][digest][0]
            for path in groups[other][digest]:
                if path not in shared:
                    words = f"in {other}; the same pixels as {_told(first, path)} in {one}"
                    yield Problem(Kind.SPLIT_OVERLAP, path, words)


def without_picture(samples: Iterable[Sample]) -> Iterator[Problem]:
    """Label files, beside those that are used, whose picture is neither used nor there."""
    rows = [sample for sample in samples if sample.label in (None, label_of(sample.path))]  # not those of a COCO file
    used = {label_of(sample.path) for sample in rows}
    for folder in sorted({path.parent for path in used}):
        for name in sorted(_names(folder)):
            path = folder / name
            if path.suffix.lower() == SUFFIX and path not in used and not _is_list(path) and not _has_picture(path):
                yield Problem(Kind.UNUSED_LABEL, path, "no picture of that name is in the data set")


def _groups(samples: Iterable[Sample], looks: Mapping[Path, Look]) -> dict[bytes, list[Path]]:
    """Different files by what they show, in order; without those that cannot be decoded."""
    found: dict[bytes, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(sample.path for sample in samples):
        if digest := looks[path].digest:
            found[digest].append(path)
    return found


def _told(path: Path, beside: Path) -> str:
    """A path in short: its name alone where both are in one folder."""
    return f"'{path.name}'" if path.parent == beside.parent else f"'{path}'"


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone are wanted
    except OSError:
        return []


def _is_list(path: Path) -> bool:
    """Whether a .txt file holds something else than rows, as lists of class names and of pictures do."""
    try:
        with path.open("rb") as file:
            words = file.read(4096).split()
        return bool(words) and not any(_is_number(word) for word in words)
    except OSError:
        return False


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _has_picture(label: Path) -> bool:
    """Whether a picture that no split names has this label: the last folder 'labels' of its path is 'images' there."""
    text, labels = str(label), f"{os.sep}labels{os.sep}"
    head, found, tail = text.rpartition(labels)
    picture = Path(f"{head}{os.sep}images{os.sep}{tail}") if found else label
    return any(picture.with_suffix(suffix).exists() for suffix in PICTURE_SUFFIXES)
