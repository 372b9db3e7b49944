"""Mask pictures: PNG files whose pixels are classes (kind "masks") or objects (kind "instances").

    masks/0001.png                 kind masks: every connected region of a value is an object of the class value - 1
    masks/0001.png                 kind instances: every value is an object
    masks/car/0001.png             kind instances: … of the class that its folder names
    masks/0001/car_1.png           kind instances: one object a file, of the class that its name begins with

0 is background. Of classes, 255 is ignored, as Pascal VOC has it; unless nothing else is on in any mask: black and
white ones have a single class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segkit.core.data.convert.drafts import split_of
from segkit.core.data.convert.places import FOLDERS, by_stem, folder_with_pictures, seen_size
from segkit.core.data.convert.pngs import IGNORED, ON, read_indices, regions, values_in
from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.convert.shapes import box_around
from segkit.core.errors import OptionError, SourceError
from segkit.core.notices import progress

MASKS = ("masks", "mask", "annotations", "labels", "instances")
"""Folders of mask pictures, by common custom."""

ONE_CLASS = "object"
"""What objects are called where nothing says it."""

LOSSLESS = (".png", ".tif", ".tiff", ".bmp")

_ENDING = re.compile(r"(?i)[_-](masks?|labels?|seg|gt|instances?|labelids|instanceids)$")
"""What tools add to a picture's name for its mask."""

_OBJECT = re.compile(r"([^\W\d_](?:[^\W_]|[ _-])*?)(?:[ _-]*\d+)?")
"""Name of an object's file: its class, and perhaps a number."""

NO_NAME = "regions of a pixel value that has no name"
SMALL = "regions smaller than the least area"


@dataclass(frozen=True)
class _Place:
    """The masks of one picture: files, each with the class that its folder names; `single` if each is one object."""

    name: str
    path: Path | None
    files: tuple[tuple[Path, str], ...]
    single: bool


def read_masks(
    source: Path,
    images: Path | None,
    names: Sequence[str] | None,
    *,
    instances: bool = False,
    label: str | None = None,
    least: int = 1,
) -> Material:
    """The material of a folder of masks.

    Args:
        source: the folder, or one that holds a folder `masks` beside one of pictures.
        images: the folder of pictures if it is known.
        names: class names. Of kind "masks" the first is that of value 1; without them, values are the names.
        instances: pixels are objects, not classes.
        label: the class of every object (kind "instances").
        least: pixels that a region must have to be an object.

    Raises:
        SourceError: there are no masks, or a mask is of another size than its picture; that shows while the material is
            iterated.
        OptionError: nothing says what class the objects have.
    """
    masks = next((source / each for each in MASKS if (source / each).is_dir()), source)
    folder = images or _pictures_of(source, masks)
    skipped: Counter[str] = Counter()
    places = _places(masks, folder, instances, skipped)
    if not places:
        left_out = "; ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise SourceError(source, f"there are no mask pictures in it{f' ({left_out})' if left_out else ''}")
    labels = _labels(places, label, instances)
    if instances:
        names = names or sorted(set(labels.values()))
        classes = {name: index for index, name in enumerate(names)}
    else:
        values = _values(places) if names is None or len(names) == 1 else range(1, len(names) + 1)
        if names is None:
            names = [str(value) for value in values]
        elif values != [ON]:
            values = range(1, len(names) + 1)
        classes = {str(value): index for index, value in enumerate(values)}
    if not names:
        raise SourceError(source, "not one pixel of its masks is on")
    splits: dict[str, list[_Place]] = {}
    for place in places:
        splits.setdefault(split_of(place.name)[0], []).append(place)
    made = {name: _Split(found, classes, labels, skipped, least) for name, found in splits.items()}
    return Material(tuple(names), made, {name: len(found) for name, found in splits.items()}, skipped)


def _pictures_of(source: Path, masks: Path) -> Path | None:
    """The folder of the pictures, if it is found: that of the masks too, where these are named as a_mask.png is."""
    root = source if masks != source else source.parent
    if (folder := folder_with_pictures(root / each for each in FOLDERS[:-1])) or masks != source:
        return folder
    stems = by_stem(source)
    return source if any(shorter != stem and shorter in stems for stem in stems for shorter in (_bare(stem),)) else None


def _bare(stem: str) -> str:
    """The stem of the picture that a mask's stem is customarily made of."""
    return _ENDING.sub("", stem)


def _files(masks: Path, folder: Path | None) -> Mapping[str, Path]:
    """The masks by their stems: JPEG files only where a folder of masks has no others, and no pictures are in it."""
    found = by_stem(masks, LOSSLESS)
    return found if found or folder in (None, masks) else by_stem(masks, (".jpg", ".jpeg"))


def _places(masks: Path, folder: Path | None, instances: bool, skipped: Counter[str]) -> list[_Place]:
    """The pictures that have masks. Those of one without the other are counted."""
    pictures = by_stem(folder) if folder else None
    if pictures is not None and folder == masks:  # one folder for both
        pictures = {stem: path for stem, path in pictures.items() if _bare(stem) == stem or _bare(stem) not in pictures}
    found: dict[tuple[str, bool], list[tuple[Path, str]]] = {}
    for stem, path in _files(masks, folder).items():
        if pictures is not None and path == pictures.get(stem):
            continue
        parent, _, last = stem.rpartition("/")
        if (key := _known(stem, pictures)) is not None and not (instances and pictures is None and _nested(parent)):
            found.setdefault((key, False), []).append((path, ""))
        elif instances and _nested(parent) and (pictures is None or parent in pictures):
            found.setdefault((parent, True), []).append((path, ""))
        elif instances and (key := _known(last, pictures)) is not None:
            found.setdefault((key, False), []).append((path, parent.rpartition("/")[2]))
        else:
            skipped["masks without a picture"] += 1
    if found and pictures and (missing := len(pictures.keys() - {key for key, _ in found})):
        skipped["pictures without a mask"] += missing
    return [_place(key, pictures, files, single) for (key, single), files in found.items()]


def _nested(parent: str) -> bool:
    """Whether a folder is more than one of a split."""
    return bool(split_of(f"{parent}/")[1])


def _known(stem: str, pictures: Mapping[str, Path] | None) -> str | None:
    """The picture's stem that a mask's stem means."""
    if pictures is None:
        return stem
    return next((each for each in (stem, _bare(stem)) if each in pictures), None)


def _place(key: str, pictures: Mapping[str, Path] | None, files: Sequence[tuple[Path, str]], single: bool) -> _Place:
    path = pictures[key] if pictures else None
    return _Place(key + (path.suffix if path else ".png"), path, tuple(files), single)


def _labels(places: Sequence[_Place], label: str | None, instances: bool) -> dict[Path, str]:
    """The class of every file's objects (kind "instances")."""
    if not instances:
        return {}
    found = {}
    for place in places:
        for file, folder in place.files:
            name = label or folder
            if not name and place.single:
                match = _OBJECT.fullmatch(file.stem)
                if match is None:
                    problem = f"nothing says what '{place.name}/{file.name}' shows; a file is named as car_1.png is"
                    raise OptionError(f"The class of the objects is not known: {problem}. Give class=NAME.")
                name = match[1].strip(" _-")
            found[file] = name or ONE_CLASS
    return found


def _values(places: Sequence[_Place]) -> Sequence[int]:
    """The values that pixels have anywhere, but background and ignored; those that are on in black and white masks."""
    found: set[int] = set()
    with progress("looking for classes", len(places), unit="masks") as advance:
        for place in places:
            for file, _ in place.files:
                found.update(values_in(read_indices(file)))
            advance(1)
    return sorted(found - {IGNORED}) or sorted(found)


@dataclass(frozen=True)
class _Split:
    places: Sequence[_Place]
    classes: Mapping[str, int]
    labels: Mapping[Path, str]
    skipped: Counter[str]
    least: int

    def __iter__(self) -> Iterator[Picture]:
        for place in self.places:
            size = seen_size(place.path) if place.path else read_indices(place.files[0][0]).shape
            if size is None:
                self.skipped["pictures that cannot be read"] += 1
                continue
            height, width = size
            items = tuple(item for file, _ in place.files for item in self._items(file, place, (height, width)))
            yield Picture(split_of(place.name)[1], (height, width), items, place.path)

    def _items(self, file: Path, place: _Place, size: tuple[int, int]) -> Iterator[Item]:
        values = read_indices(file, size, place.path)
        if place.single:
            values = (values * 2 > values.max()).astype(np.int64)  # soft edges are halved
        elif not self.labels and str(IGNORED) not in self.classes:
            values[values == IGNORED] = 0
        for value, parts in regions(values, connected=not self.labels, least=self.least):
            category = self.classes.get(self.labels.get(file, "") or str(value))
            reason = NO_NAME if category is None else SMALL if not parts else ""
            if reason or category is None:
                self.skipped[reason] += 1
            else:
                yield Item(category, parts, box_around(parts))
