"""COCO's instance annotations: one JSON file with pictures, categories, and objects as polygons or run lengths.

Source: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.convert.drafts import split_called
from segkit.core.data.convert.files import name_of, read_json, side, text_at, whole
from segkit.core.data.convert.places import FOLDERS, folder_with, safe_name, seen_size
from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.convert.shapes import box_item, item_of
from segkit.core.data.description import SPLITS
from segkit.core.data.named.coco_classes import CATEGORY_IDS, NAMES
from segkit.core.data.tracing import Points, trace
from segkit.core.errors import SourceError
from segkit.core.images.reading import MAX_PIXELS
from segkit.core.rle import decompress

_COCO = dict(zip(CATEGORY_IDS, NAMES, strict=True))


def read_coco(files: list[Path], images: Path | None) -> Material:
    """The material of one file, or of one a split; `images` is the folder of the pictures if it is known.

    Raises:
        SourceError: a file is none of COCO's instance annotations, or files differ in their categories.
    """
    documents = {path: _document(path) for path in files}
    categories = [_categories(path, document) for path, document in documents.items()]
    for path, found in zip(documents, categories, strict=True):
        if found != categories[0]:
            raise SourceError(path, f"its categories are not those of '{files[0].name}'; convert it on its own")
    index, names = _numbered(categories[0])
    skipped: Counter[str] = Counter()
    splits: dict[str, _Split] = {}
    for path, document in documents.items():
        splits[_split_name(path, splits)] = _Split(path, document, index, images, skipped)
    return Material(names, splits, {name: len(split.pictures) for name, split in splits.items()}, skipped)


def is_coco(document: object) -> bool:
    """Whether a JSON value is COCO's annotation of instances."""
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    )


def _document(path: Path) -> dict[str, list[Any]]:
    value = read_json(path)
    if not is_coco(value):
        raise SourceError(path, "it is no instance annotation of COCO: lists of images, annotations and categories")
    document: dict[str, list[Any]] = value
    return document


def _categories(path: Path, document: Mapping[str, list[Any]]) -> dict[int, str]:
    found = {
        number: name_of(text_at(entry, "name")) or f"category {number}"
        for entry in document["categories"]
        if isinstance(entry, dict) and (number := whole(entry.get("id"))) is not None
    }
    if not found or len(found) < len(document["categories"]):
        raise SourceError(path, "its categories must have different whole numbers as ids")
    return dict(sorted(found.items()))


def _numbered(categories: Mapping[int, str]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Class index by category id, and class names. COCO's own keep their 80 places, even if only some are there."""
    if all(_COCO.get(number) == name for number, name in categories.items()):
        return {number: index for index, number in enumerate(CATEGORY_IDS)}, NAMES
    return {number: index for index, number in enumerate(categories)}, tuple(categories.values())


def _split_name(path: Path, taken: Mapping[str, object]) -> str:
    """Of a file: the split that its name holds, else that of its folder, else train; its own name if that is taken."""
    name = next((split for split in SPLITS if split in path.stem.lower()), split_called(path.parent.name) or SPLITS[0])
    return name if name not in taken else path.stem


class _Split:
    """The pictures of one file."""

    def __init__(
        self,
        path: Path,
        document: Mapping[str, list[Any]],
        index: Mapping[int, int],
        images: Path | None,
        skipped: Counter[str],
    ) -> None:
        self.index, self.skipped = index, skipped
        self.pictures = [entry for entry in document["images"] if isinstance(entry, dict)]
        self.objects: dict[object, list[dict[str, Any]]] = defaultdict(list)
        known = {whole(entry.get("id")) for entry in self.pictures}
        for entry in document["annotations"]:
            number = whole(entry.get("image_id")) if isinstance(entry, dict) else None
            if number is None or number not in known:
                skipped["objects of a picture that the file does not list"] += 1
            else:
                self.objects[number].append(entry)
        names = [name for entry in self.pictures if (name := safe_name(text_at(entry, "file_name")))]
        self.folder = folder_with(names, _candidates(path, images))

    def __iter__(self) -> Iterator[Picture]:
        for entry in self.pictures:
            picture = self._picture(entry)
            if isinstance(picture, str):
                self.skipped[picture] += 1
            else:
                yield picture

    def _picture(self, entry: Mapping[str, Any]) -> Picture | str:
        name, number = safe_name(text_at(entry, "file_name")), whole(entry.get("id"))
        height, width = side(entry.get("height")), side(entry.get("width"))
        if name is None or number is None or height is None or width is None or height * width > MAX_PIXELS:
            return "pictures without a usable file_name, id, height and width"
        path = self.folder / name if self.folder and (self.folder / name).is_file() else None
        if path and (size := seen_size(path)) != (height, width):
            return "pictures of another size than the file says" if size else "pictures that cannot be read"
        items = []
        for annotation in self.objects.get(number, ()):
            item = _item(annotation, self.index, (height, width))
            if isinstance(item, str):
                self.skipped[item] += 1
            else:
                items.append(item)
        return Picture(name, (height, width), tuple(items), path, number)


def _candidates(path: Path, images: Path | None) -> Iterator[Path]:
    """Folders in which the pictures of a file may be: <root>/images/train2017 for instances_train2017.json, or near."""
    split = path.stem.removeprefix("instances_")
    for root in (images,) if images else (path.parent.parent, path.parent):
        for folder in (".",) if images else FOLDERS:
            yield root / folder / split
            yield root / folder


def _item(entry: Mapping[str, Any], index: Mapping[int, int], size: tuple[int, int]) -> Item | str:
    category = index.get(number) if (number := whole(entry.get("category_id"))) is not None else None
    if category is None:
        return "objects of a category that the file does not list"
    if entry.get("iscrowd"):
        return "crowd regions"
    shape = entry.get("segmentation")
    if isinstance(shape, dict):
        mask = mask_of(shape, size)
        if mask is None:
            return "objects with damaged run lengths"
        return item_of(category, trace(mask), size) if mask.any() else "objects without an area"
    if isinstance(shape, list) and shape:
        parts = [points for part in shape if (points := _points(part)) is not None]
        if len(parts) < len(shape):
            return "objects with damaged polygons"
        return item_of(category, parts, size)
    box = _points(entry.get("bbox"))
    if box is None or box.shape != (2, 2):
        return "objects without an outline or a box"
    return box_item(category, np.concatenate([box[0], box[0] + box[1]]), size)


def _points(numbers: object) -> Points | None:
    """(K, 2) of a flat list of finite numbers in pairs; None for anything else."""
    if not isinstance(numbers, list) or len(numbers) % 2:
        return None
    if not all(isinstance(number, int | float) and abs(number) < 1e9 for number in numbers):
        return None
    return np.array(numbers, np.float64).reshape(-1, 2)


def mask_of(shape: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask (height, width) of run lengths, compressed or not; None unless they make a picture of `size`."""
    counts = shape.get("counts")
    try:
        if isinstance(counts, str):
            lengths = decompress(counts)
        else:
            lengths = np.array(counts, np.int64, ndmin=1) if isinstance(counts, list) else np.zeros(0, np.int64)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    pixels = size[0] * size[1]
    if shape.get("size") != [*size] or pixels > MAX_PIXELS or lengths.ndim != 1 or not len(lengths):
        return None
    if lengths.min() < 0 or lengths.max() > pixels or lengths.sum() != pixels:
        return None
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size[1], size[0]).T
