"""One labelled picture, and what a reader makes of a place full of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segkit.core.data.labels import Labels
from segkit.core.data.problems import Problem


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One labelled picture; its pixels are not read yet.

    Attributes:
        path: the picture.
        size: its height and width in pixels as it is shown, EXIF rotation applied.
        labels: what is labelled in it.
        image_id: its number in a COCO file; else its name without the suffix, as a number where it is one.
        label: the file its labels are in, None where there is none.
        dropped: rows of it that were left out.
    """

    path: Path
    size: tuple[int, int]
    labels: Labels
    image_id: int | str
    label: Path | None
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found at the places of one split.

    Attributes:
        samples: the readable pictures with their usable labels, in order.
        problems: everything that is wrong with them, and with the others.
        names: class names by index, where the labels themselves name them (COCO does).
        category_ids: COCO's category numbers by class index, where the labels have such.
    """

    samples: list[Sample]
    problems: list[Problem]
    names: Mapping[int, str] | None = None
    category_ids: Mapping[int, int] | None = None


def id_of(path: Path) -> int | str:
    """The image id of a picture that no file gives one: COCO names its pictures by their numbers."""
    stem = path.stem
    return int(stem) if stem.isascii() and stem.isdigit() else stem
