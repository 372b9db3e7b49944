"""COCO's JSON of instances: pictures, categories, and objects as polygons or run lengths.

https://cocodataset.org/#format-data describes it. Coordinates are pixels there and parts of the sides here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.cache import Cache, stamp_of
from segkit.core.data.reading.coco_objects import labels_of
from segkit.core.data.reading.finding import Finder
from segkit.core.data.reading.measuring import measure, read_all
from segkit.core.data.sample import Sample, Scan
from segkit.core.errors import SourceError

SUFFIX = ".json"

_MOST = 1 << 24
"""Pixels of a side that no picture has."""


def read_coco(path: Path, names: Mapping[int, str] | None = None, *, cache: bool = True) -> Scan:
    """The pictures of a COCO file with their labels, in its order.

    Args:
        path: the JSON file.
        names: class names by index that its categories are to be matched with, by name; without them the categories
            in the order of their numbers are the classes 0, 1, 2, …: COCO's own 80 get the indices that users know.
        cache: keep what was parsed, and use what was kept.

    Raises:
        SourceError: it cannot be read, is no such file, has categories that `names` has not, or none of its pictures is
            to be found.
    """
    if not cache:
        return _scan(path, names)
    kept = Cache(path, names)
    stamp = stamp_of([str(path)], repr(names))
    scan = kept.load(stamp)
    if scan is None:
        scan = _scan(path, names)
        if not any(problem.kind == Kind.MISSING_PICTURE for problem in scan.problems):  # they may come
            kept.save(stamp, scan)
    return scan


def _scan(path: Path, names: Mapping[int, str] | None) -> Scan:
    raw = _read(path)
    classes, named = _classes(path, raw["categories"], names)
    images = [image if isinstance(image, dict) else {} for image in raw["images"]]
    objects: dict[object, list[Mapping[str, Any]]] = {}
    for each in raw["annotations"]:
        if isinstance(each, dict):
            objects.setdefault(_key(each.get("image_id")), []).append(each)
    finder = Finder(path)
    found = [(image, finder.find(image.get("file_name"))) for image in images]
    scan = Scan([], [], named, {index: number for number, index in classes.items()})
    for image, picture in found:
        if picture is None:
            words = f"'{str(image.get('file_name'))[:100]}' is not there"
            scan.problems.append(Problem(Kind.MISSING_PICTURE, path, words, dropped=True))
    there = [(image, picture) for image, picture in found if picture]
    sizes = read_all(measure, [picture for _, picture in there])
    for (image, picture), size in zip(there, chain.from_iterable(sizes), strict=True):
        if isinstance(size, Problem):
            scan.problems.append(size)
            continue
        number = _key(image["id"]) if "id" in image else picture.stem
        labels, faults = labels_of(path, objects.get(number, ()), classes, size, _size_in(image) or size)
        scan.problems.extend(faults)
        scan.samples.append(Sample(picture, size, labels, number, path, len(faults)))
    if not scan.samples and all(problem.kind == Kind.MISSING_PICTURE for problem in scan.problems):
        raise SourceError(path, finder.words(images[0].get("file_name")))
    scan.problems.extend(_lost(path, images, objects))
    return scan


def _lost(path: Path, images: Sequence[Mapping[str, Any]], objects: Mapping[object, Sequence[object]]) -> list[Problem]:
    """Objects of pictures that the file does not list."""
    listed = {_key(image.get("id")) for image in images}
    return [
        Problem(Kind.MISSING_PICTURE, path, f"{len(lost)} objects of picture {key}, which is not listed", dropped=True)
        for key, lost in objects.items()
        if key not in listed
    ]


def is_coco(path: Path) -> bool:
    """Whether a file is named as one."""
    return path.suffix.lower() == SUFFIX


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SourceError(path, "there is no such file") from None
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(path, f"it is not JSON ({str(error)[:100]})") from None
    wanted = ("images", "annotations", "categories")
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), list) for key in wanted):
        raise SourceError(path, f"it is no COCO file of instances: lists {', '.join(wanted)} are expected")
    if not raw["images"]:
        raise SourceError(path, "it lists no pictures")
    return raw


def _classes(
    path: Path, categories: list[Any], names: Mapping[int, str] | None
) -> tuple[dict[int, int], dict[int, str]]:
    """Class index by category number, and class names by index."""
    try:
        named = {int(each["id"]): str(each["name"]) for each in categories}
    except (TypeError, KeyError, ValueError, OverflowError):
        named = {}
    if not named or len(named) < len(categories):
        raise SourceError(path, "its categories must each have a number of their own and a name")
    if names is None:
        classes = {number: index for index, number in enumerate(sorted(named))}
        return classes, {index: named[number] for number, index in classes.items()}
    indices = {name.casefold(): index for index, name in names.items()}
    classes = {number: indices[name.casefold()] for number, name in named.items() if name.casefold() in indices}
    if not classes:
        found, wanted = (", ".join(map(str, texts))[:80] for texts in (named.values(), names.values()))
        raise SourceError(path, f"none of its categories ({found}) is a class of the data set ({wanted})")
    return classes, dict(names)


def _key(value: object) -> int | str:
    return value if isinstance(value, int | str) else str(value)


def _size_in(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width that the JSON file says, which its coordinates are meant for."""
    height, width = image.get("height"), image.get("width")
    if isinstance(height, int) and isinstance(width, int) and 0 < height < _MOST and 0 < width < _MOST:
        return height, width
    return None
