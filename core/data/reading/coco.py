"""COCO's JSON of instances: pictures, categories, and objects as polygons or run lengths.

https://cocodataset.org/#format-data describes it. Coordinates are pixels there and parts of the sides here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
    there = list(_once(path, [(image, picture) for image, picture in found if picture], scan.problems))
    sizes = read_all(measure, [picture for _, picture in there])
    for (about, picture), size in zip(there, chain.from_iterable(sizes), strict=True):
        if isinstance(size, Problem):
            scan.problems.append(size)
            continue
        number = _key(about["id"]) if "id" in about else picture.stem
        said = _size_in(about) or size
        if fault := _squeezed(picture, size, said):
            scan.problems.append(fault)
        labels, faults = labels_of(path, objects.get(number, ()), classes, size, said)
        scan.problems.extend(faults)
        scan.samples.append(Sample(picture, size, labels, number, path, len(faults)))
    if not scan.samples and all(problem.kind == Kind.MISSING_PICTURE for problem in scan.problems):
        raise SourceError(path, finder.words(images[0].get("file_name")))
    scan.problems.extend(_lost(path, images, objects))
    # COCO's own tools go by the ids; detections of equal score count in the order of their pictures.
    scan.samples.sort(key=lambda sample: (isinstance(sample.image_id, str), sample.image_id))
    return scan


_There = tuple[Mapping[str, Any], Path]


def _once(path: Path, there: Sequence[_There], problems: list[Problem]) -> Iterator[_There]:
    """Without pictures whose number an earlier one has: nobody can tell whose the objects are."""
    first: dict[object, Path] = {}
    for image, picture in there:
        number = _key(image["id"]) if "id" in image else picture
        if first.setdefault(number, picture) is picture:
            yield image, picture
        else:
            words = f"'{picture.name}' has the id {number!r} of '{first[number].name}'"
            problems.append(Problem(Kind.DUPLICATE_PICTURE, path, words, dropped=True))


def _squeezed(picture: Path, size: tuple[int, int], said: tuple[int, int]) -> Problem | None:
    """Coordinates are meant for a picture of other proportions: one that was turned or cut since."""
    (height, width), (high, wide) = size, said
    if abs(height * wide - width * high) <= max(height, width, high, wide):  # as rounding makes it
        return None
    turned = " (was it labelled without its EXIF rotation?)" if size == (wide, high) else ""
    words = f"it is {width}x{height}, its labels are for {wide}x{high} and are stretched{turned}"
    return Problem(Kind.OTHER_SIZE, picture, words)


def _lost(path: Path, images: Sequence[Mapping[str, Any]], objects: Mapping[object, Sequence[object]]) -> list[Problem]:
    """Objects of pictures that the file does not list."""
    listed = {_key(image.get("id")) for image in images}
    return [
        Problem(Kind.MISSING_PICTURE, path, f"picture {key!r} is not listed; objects of it: {len(lost)}", dropped=True)
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
    sides = image.get("height"), image.get("width")
    height, width = (int(side) if isinstance(side, int | float) and 1 <= side < _MOST else 0 for side in sides)
    return (height, width) if height and width else None
