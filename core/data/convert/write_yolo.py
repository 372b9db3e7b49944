"""Writing a data set with a label file a picture and a description.

    target/data.yaml
    target/labels/train/0001.txt
    target/images/train/0001.jpg     a link to the picture where it is, or a copy

Labels are found by their picture's path, images/ becoming labels/, so pictures must be reachable inside the target.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.convert.shapes import one_outline
from segkit.core.data.describing import DESCRIPTION, description_text
from segkit.core.data.labels import Labels
from segkit.core.data.reading.yolo import label_of, lines_of
from segkit.core.notices import progress


class Written:
    """Counts of what was written."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.pictures: Counter[str] = Counter()
        self.objects: Counter[int] = Counter()
        self.empty = self.linked = 0

    def add(self, split: str, picture: Picture) -> None:
        """One picture more."""
        self.pictures[split] += 1
        self.objects.update(item.category for item in picture.items)
        self.empty += not picture.items
        self.linked += picture.path is not None


def write_yolo(material: Material, folder: Path, *, copy: bool) -> Written:
    """Write all of it into a folder that exists; a picture whose label file is another's too is left out.

    Raises:
        OSError: something cannot be written.
    """
    written = Written()
    for split, pictures in material.splits.items():
        taken: set[str] = set()
        with progress(f"converting {split}", material.totals.get(split), unit="pictures") as advance:
            for picture in pictures:
                advance(1)
                place = folder / "images" / split / picture.name
                label = label_of(place)
                if (key := str(label).casefold()) in taken:
                    material.skipped["pictures that differ from another's name in the suffix only"] += 1
                    continue
                taken.add(key)
                _write(picture, place, label, copy)
                written.add(split, picture)
    text = description_text({split: f"images/{split}" for split in written.pictures}, material.names)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")
    return written


def _write(picture: Picture, place: Path, label: Path, copy: bool) -> None:
    label.parent.mkdir(parents=True, exist_ok=True)
    lines = lines_of(_labels(picture.items, picture.size))
    label.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    place.parent.mkdir(parents=True, exist_ok=True)
    if picture.path:
        bring(picture.path.resolve(), place, copy)


def _labels(items: Iterable[Item], size: tuple[int, int]) -> Labels:
    """Objects in units of the picture's sides, one outline each."""
    items = tuple(items)
    sides = np.array([size[1], size[0]], np.float64)
    outlines = [(one_outline(item) / sides).astype(np.float32) for item in items]
    shapes = [(outline,) if len(outline) else () for outline in outlines]
    boxes = np.array([item.box / np.tile(sides, 2) for item in items])
    return Labels.of([item.category for item in items], shapes, boxes)


def bring(source: Path, place: Path, copy: bool) -> None:
    """A copy, or a link: a symbolic one, else a hard one, and a copy where the system has neither."""
    for link in () if copy else (os.symlink, os.link):
        with suppress(OSError):
            link(source, place)
            return
    shutil.copyfile(source, place)
