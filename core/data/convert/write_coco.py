"""Writing COCO's instance annotations: a JSON file a split, an object an annotation.

Polygons are written as they are, the box goes around their corners, and the area is what they enclose, as in COCO's own
files; for outlines that cross themselves, the number of pixels inside. An object of which only the box is known has no
polygons, and the area of its box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.convert.shapes import area_of
from segkit.core.data.convert.write_yolo import Written, bring
from segkit.core.data.named.coco_classes import CATEGORY_IDS, NAMES
from segkit.core.notices import progress

DIGITS = 3
"""Decimals of coordinates: thousandths of a pixel."""


def category_ids(names: Sequence[str]) -> tuple[int, ...]:
    """The category id of each class: COCO's own for its 80 classes in their order, otherwise 1, 2, 3, …."""
    return CATEGORY_IDS if tuple(names) == NAMES else tuple(range(1, len(names) + 1))


def write_coco(
    material: Material, files: Mapping[str, Path], folders: Mapping[str, Path] | None = None, *, copy: bool = False
) -> Written:
    """Write each split into its file, and links to its pictures, or copies, into its folder, if there are folders.

    Raises:
        OSError: something cannot be written.
    """
    written = Written()
    ids = category_ids(material.names)
    number = 0
    for split, pictures in material.splits.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        with progress(f"converting {split}", material.totals.get(split), unit="pictures") as advance:
            for picture in pictures:
                advance(1)
                images.append({"file_name": picture.name, "height": picture.size[0], "width": picture.size[1]})
                images[-1]["id"] = picture.ident
                for item in picture.items:
                    number += 1
                    annotations.append({"id": number, "image_id": len(images) - 1, "category_id": ids[item.category]})
                    annotations[-1].update(_shape(item, picture))
                if folders is not None and picture.path:
                    _bring(picture.path, folders[split] / picture.name, copy)
                written.add(split, picture)
        _give_ids(images, annotations)
        categories = [{"id": ident, "name": name} for ident, name in zip(ids, material.names, strict=True)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        with files[split].open("w", encoding="ascii") as file:
            json.dump(document, file, allow_nan=False)  # all of it ASCII: names of files need not be text
    return written


def _bring(source: Path, place: Path, copy: bool) -> None:
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        bring(source.resolve(), place, copy)


def _give_ids(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    """Numbers of pictures: their own if each has one, otherwise 1, 2, 3, …."""
    if any(image["id"] is None for image in images):
        for number, image in enumerate(images, 1):
            image["id"] = number
    for annotation in annotations:
        annotation["image_id"] = images[annotation["image_id"]]["id"]


def _shape(item: Item, picture: Picture) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(side) for side in item.box)
    area = area_of(item.parts, picture.size) if item.parts else (x2 - x1) * (y2 - y1)
    return {
        "segmentation": [list(_numbers(part.ravel().tolist())) for part in item.parts],
        "area": round(area, DIGITS),
        "bbox": list(_numbers([x1, y1, x2 - x1, y2 - y1])),
        "iscrowd": 0,
    }


def _numbers(values: Sequence[float]) -> Iterator[float]:
    return (round(value, DIGITS) for value in values)
