"""Pictures in folders and lists with labels in text files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.cache import Cache, stamp_of
from segkit.core.data.reading.measuring import measure, read_all
from segkit.core.data.reading.scan import pictures_at
from segkit.core.data.reading.yolo import label_of, parse_all
from segkit.core.data.sample import Sample, Scan, id_of


def read_folders(place: str, classes: int, *, cache: bool = True) -> Scan:
    """The pictures at a place (see `pictures_at`) with their labels.

    Args:
        place: a folder, a list, a pattern or a picture.
        classes: how many classes there are.
        cache: keep what was parsed, and use what was kept.

    Raises:
        SourceError: there is no such place, or it must not be opened.
    """
    pictures = pictures_at(place)
    if not pictures:
        return Scan([], [])
    if not cache:
        return _all(pictures, classes)
    labels = [label_of(picture) for picture in pictures]
    kept = Cache(labels[0].parent, place)
    stamp = stamp_of(map(str, labels), f"{classes} classes", *map(str, pictures))
    scan = kept.load(stamp)
    if scan is None:
        scan = _all(pictures, classes)
        kept.save(stamp, scan)
    return scan


def _all(pictures: Sequence[Path], classes: int) -> Scan:
    scan = Scan([], [])
    for read in read_all(_read, pictures):
        parsed = parse_all([(each.label, each.path) for each in read], classes)
        for each, (labels, faults) in zip(read, parsed, strict=True):
            scan.problems.extend([*each.problems, *faults])
            if each.size:
                dropped = sum(fault.dropped for fault in faults)
                path = each.path if each.labelled else None
                scan.samples.append(Sample(each.picture, each.size, labels, id_of(each.picture), path, dropped))
    return scan


class _Read(NamedTuple):
    """What is on disk: a picture, its size unless it cannot be used, where its labels are and the bytes of them."""

    picture: Path
    size: tuple[int, int] | None
    path: Path
    label: bytes
    problems: Sequence[Problem] = ()
    labelled: bool = True


def _read(picture: Path) -> _Read:
    path = label_of(picture)
    size = measure(picture)
    if isinstance(size, Problem):
        return _Read(picture, None, path, b"", [size])
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - once a picture
            return _Read(picture, size, path, file.read())
    except FileNotFoundError:
        problem = Problem(Kind.MISSING_LABEL, picture, f"there is no '{path}'")
        return _Read(picture, size, path, b"", [problem], labelled=False)
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        problem = Problem(Kind.UNREADABLE_LABEL, path, words.lower(), dropped=True)
        return _Read(picture, size, path, b"", [problem])
