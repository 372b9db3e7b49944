"""A sheet of small pictures with their labels drawn in, so that one look shows what a data set is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit.core.data.drawing import draw_labels
from segkit.core.data.labels import Labels
from segkit.core.data.sample import Sample
from segkit.core.images.batch import Picture
from segkit.core.ink.tags import tag

SIDE = 320
"""Side in pixels of the square that a picture is made to fit."""

LEAST, MOST = 12, 36
"""Cells of a sheet: at least as many, where there are so many pictures, and at most, however many classes there are."""

_COLUMNS, _GAP, _LINE = 6, 8, 18
_PAPER = (32, 30, 28)


def choose(samples: Sequence[Sample], least: int = LEAST, most: int = MOST) -> list[Sample]:
    """Samples that show every class, as far as `most` can: each time the one with most classes that are not seen yet.

    Where fewer than `least` do that, others are added, spread over the set. The same file is not chosen twice.
    """
    left = list({sample.path: sample for sample in samples}.values())
    chosen: list[Sample] = []
    unseen = {int(index) for sample in left for index in sample.labels.classes.tolist()}
    classes = {sample.path: set(sample.labels.classes.tolist()) for sample in left}
    while unseen and len(chosen) < most:
        # Of those that show as many, the one with fewer objects: it is easier to see.
        best = max(left, key=lambda sample: (len(classes[sample.path] & unseen), -len(sample.labels)))
        unseen -= classes[best.path]
        left.remove(best)
        chosen.append(best)
    if missing := min(least - len(chosen), len(left)):
        chosen += [left[i * len(left) // missing] for i in range(max(missing, 0))]
    return chosen


def sheet(cells: Sequence[tuple[str, Picture, Labels]], names: Mapping[int, str]) -> Picture:
    """Pictures with their labels in rows, each with a line of text below it.

    Args:
        cells: (text, picture (H, W, 3) BGR uint8 with no side over `SIDE`, its labels), at least one.
        names: class names by index.

    Returns:
        (H, W, 3) BGR uint8.
    """
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    width, height = SIDE + _GAP, SIDE + _LINE + _GAP
    page = np.full((rows * height + _GAP, columns * width + _GAP, 3), _PAPER, np.uint8)
    for number, (text, picture, labels) in enumerate(cells):
        top, left = _GAP + number // columns * height, _GAP + number % columns * width
        drawn = draw_labels(picture, labels, names)
        high, wide = drawn.shape[:2]
        y, x = top + SIDE - high, left + (SIDE - wide) // 2
        page[y : y + high, x : x + wide] = drawn
        _write(page[top + SIDE : top + SIDE + _LINE, left : left + SIDE], text)
    return page


def _write(line: Picture, text: str) -> None:
    """A caption, cut where there is no more room, in place."""
    words = tag(text, "picture", 12, _PAPER)
    cut = words[: line.shape[0], : line.shape[1]]
    line[: cut.shape[0], : cut.shape[1]] = cut


def caption(split: str, path: Path) -> str:
    """The text below a picture: its split and its name, both ends of a long one."""
    name = path.name if len(path.name) <= 36 else f"{path.name[:16]}...{path.name[-17:]}"
    return f"{split}: {name}"
