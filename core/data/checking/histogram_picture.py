"""The histograms of a data set as one picture: objects of each class, sizes of pictures and of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.core.data.checking.histograms import SplitFacts
from segkit.core.images.batch import Picture
from segkit.core.ink.tags import tag

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

CLASSES = 40
"""Classes that get a bar, those with most objects; the picture says how many do not."""

_PAPER, _INK, _GREY = (255, 255, 255), (40, 40, 40), (150, 150, 150)
_SPLITS = ((215, 110, 40), (40, 130, 240), (80, 170, 60))
"""Colours of the splits, BGR: blue, orange, green."""

_TEXT, _TITLE = 13, 17
_BAR, _SPACE = 14, 6
_PANEL, _LABEL, _NUMBER, _GAP = 700, 150, 60, 40
"""Widths in pixels: of a panel, of the words on its left, of the number behind a bar, and around it."""


class Panel(NamedTuple):
    """One histogram: (label, what to write where it cannot be drawn, number in each split) from top to bottom."""

    title: str
    bars: Sequence[tuple[str, str, Sequence[int]]]

    @property
    def height(self) -> int:
        """Pixels."""
        splits = len(self.bars[0][2]) if self.bars else 0
        return 2 * _TITLE + len(self.bars) * (splits * _BAR + _SPACE) + _GAP


def histogram_picture(splits: Sequence[SplitFacts]) -> Picture:
    """Draw the histograms of all splits side by side.

    Args:
        splits: at least one.

    Returns:
        (H, W, 3) BGR uint8.
    """
    from PIL import Image, ImageDraw

    left, right = [_classes(splits)], _sizes(splits)
    top = _GAP + 2 * _TITLE
    height = top + max(sum(panel.height for panel in column) for column in (left, right))
    image = Image.new("RGB", (2 * (_PANEL + _GAP) + _GAP, height), _PAPER)
    pen = ImageDraw.Draw(image)
    _legend(pen, splits)
    page = np.asarray(image)[..., ::-1].copy()
    for number, column in enumerate((left, right)):
        y = top
        for panel in column:
            _draw(page, panel, _GAP + number * (_PANEL + _GAP), y)
            y += panel.height
    return page


def _classes(splits: Sequence[SplitFacts]) -> Panel:
    rows = [
        (each.name, f"class {each.index}", [facts.classes[place].objects for facts in splits])
        for place, each in enumerate(splits[0].classes)
    ]
    present = sorted((row for row in rows if sum(row[2])), key=lambda row: -sum(row[2]))
    more = f", the first {CLASSES} of {len(present)}" if len(present) > CLASSES else ""
    empty = f"; {len(rows) - len(present)} without any" if len(present) < len(rows) else ""
    return Panel(f"objects of each class{more}{empty}", present[:CLASSES])


def _sizes(splits: Sequence[SplitFacts]) -> list[Panel]:
    titles = {
        "pictures by longer side, pixels": [facts.picture_sizes for facts in splits],
        "objects by area: small < 32 x 32 <= medium < 96 x 96 <= large": [facts.object_sizes for facts in splits],
        "objects by share of the picture": [facts.object_shares for facts in splits],
    }
    return [Panel(title, _rows(counts)) for title, counts in titles.items()]


def _rows(counts: Sequence[Mapping[str, int]]) -> list[tuple[str, str, list[int]]]:
    return [(label, label, [each[label] for each in counts]) for label in counts[0]]


def _legend(pen: ImageDraw, splits: Sequence[SplitFacts]) -> None:
    from PIL import ImageFont

    font, x = ImageFont.load_default(_TITLE), _GAP
    for number, facts in enumerate(splits):
        text = f"{facts.split}: {facts.pictures} pictures ({facts.background} empty), {facts.objects} objects"
        pen.rectangle((x, _GAP // 2, x + _TITLE, _GAP // 2 + _TITLE), fill=_SPLITS[number % len(_SPLITS)][::-1])
        pen.text((x + _TITLE + 6, _GAP // 2 + _TITLE // 2), text, font=font, fill=_INK, anchor="lm")
        x += int(pen.textlength(text, font=font)) + 2 * _GAP


def _draw(page: Picture, panel: Panel, x: int, y: int) -> None:
    """A panel at x, y of the page, in place."""
    _write(page, tag(panel.title, "", _TITLE, _PAPER), x, y, _PANEL)
    y += 2 * _TITLE
    most = max((count for _, _, counts in panel.bars for count in counts), default=0)
    room = _PANEL - _LABEL - _NUMBER
    for label, stand_in, counts in panel.bars:
        middle = y + (len(counts) * _BAR - _TEXT) // 2 - 2
        _write(page, tag(label, stand_in, _TEXT, _PAPER), x, middle, _LABEL - 6)
        for number, count in enumerate(counts):
            top = y + number * _BAR
            wide = max(round(room * count / most), 1) if count else 0
            page[top + 1 : top + _BAR - 1, x + _LABEL : x + _LABEL + wide] = _SPLITS[number % len(_SPLITS)]
            _write(page, tag(str(count), "", _TEXT - 1, _PAPER), x + _LABEL + wide + 4, top - 2, _NUMBER)
        y += len(counts) * _BAR + _SPACE


def _write(page: Picture, words: Picture, x: int, y: int, width: int) -> None:
    """A line of text, cut where there is no more room, in place; what is below it stays."""
    region = page[y : y + words.shape[0], x : x + min(width, words.shape[1])]
    np.minimum(region, words[: region.shape[0], : region.shape[1]], out=region)
