"""Labels of a picture as lines of text: a class and the corners of one outline each, in units of the picture's sides.

45 0.782 0.986 0.937 0.874 0.957 0.782       # class x1 y1 x2 y2 … xn yn, at least 3 corners
45 0.508 0.708 0.959 0.572                    # class, centre x, centre y, width, height: a box without an outline
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segkit.core.data.labels import Labels
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.rows import BOX, Row, settle
from segkit.core.images.signature import text_of

SUFFIX = ".txt"

_IMAGES, _LABELS = (f"{os.sep}{name}{os.sep}" for name in ("images", "labels"))


def label_of(picture: str | Path) -> Path:
    """Where the labels of a picture are: the last folder 'images' of its path becomes 'labels', its suffix .txt."""
    path = f"{os.sep}{picture}"
    head, found, tail = path.rpartition(_IMAGES)
    stem = os.path.splitext(head + _LABELS + tail if found else path)[0]  # noqa: PTH122 - runs once a picture
    return Path(stem[1:] + SUFFIX)


def parse(data: bytes, path: Path, classes: int) -> tuple[Labels, list[Problem]]:
    """The labels in the bytes of a file; see `parse_all`."""
    return parse_all([(data, path)], classes)[0]


def parse_all(files: Sequence[tuple[bytes, Path]], classes: int) -> list[tuple[Labels, list[Problem]]]:
    """The labels in the bytes of files.

    Args:
        files: the content of each, and what to call it in problems.
        classes: how many there are.

    Returns:
        For each file its usable rows in order, and what is wrong with the others. Any bytes can be parsed.
    """
    readers = [_Reader(path, classes) for _, path in files]
    rows: list[Row] = []
    ends: list[int] = []
    for (data, _), reader in zip(files, readers, strict=True):
        rows += reader.rows_in(data)
        ends.append(len(rows))
    settled = settle(rows)
    for row, fault in settled.faults.items():
        place = bisect_left(ends, row + 1)
        readers[place].report(*fault, row - (ends[place] - len(readers[place].lines)))
    is_box = settled.good & settled.boxes
    good, boxes = (np.cumsum([False, *some])[[0, *ends]].tolist() for some in (settled.good, is_box))
    found = []
    for place, (start, reader) in enumerate(zip([0, *ends], readers, strict=False)):
        labels = settled.labels[good[place] : good[place + 1]]
        if 0 < (count := boxes[place + 1] - boxes[place]) < len(labels):
            reader.mixed(int(is_box[start:].argmax()), count, len(labels))
        found.append((labels, sorted(reader.problems, key=lambda problem: problem.line or 0)))
    return found


class _Reader:
    """Takes one file apart."""

    def __init__(self, path: Path, classes: int) -> None:
        self.path, self.classes = path, classes
        self.lines: list[int] = []
        self.problems: list[Problem] = []

    def rows_in(self, data: bytes) -> list[Row]:
        """The lines that are a known class and numbers in a fitting count, each once; `lines` says where they stand."""
        rows: list[Row] = []
        seen: dict[bytes, int] = {}
        for line, text in enumerate(self._text(data).splitlines(), 1):
            words = [text] if b"_" in text else text.split()  # Python takes 1_0 for a number
            if not words:
                continue
            try:
                row = array("d", map(float, words))
            except ValueError:
                self._report(Kind.MALFORMED, f"'{_shown(text)}' is not a class and numbers", line)
                continue
            if fault := _fault(row, self.classes):
                self._report(*fault, line)
            elif (first := seen.setdefault(row.tobytes(), line)) != line:
                self._report(Kind.DUPLICATE_ROW, f"the same as line {first}", line)
            else:
                rows.append(row)
                self.lines.append(line)
        return rows

    def report(self, kind: Kind, words: str, row: int) -> None:
        """A row is left out."""
        self._report(kind, words, self.lines[row])

    def mixed(self, row: int, boxes: int, count: int) -> None:
        """Some rows are boxes; `row` is the first of them."""
        words = f"{boxes} of {count} objects {'is a box' if boxes == 1 else 'are boxes'} without an outline; used so"
        self.problems.append(Problem(Kind.MIXED, self.path, words, self.lines[row]))

    def _text(self, data: bytes) -> bytes:
        """As ASCII where that is what it is, however it is encoded."""
        if data.isascii():
            return data
        text = text_of(data)
        if text is None:
            self._report(Kind.UNREADABLE_LABEL, "it is not text", None)
        return (text or "").encode()

    def _report(self, kind: Kind, words: str, line: int | None) -> None:
        self.problems.append(Problem(kind, self.path, words, line, dropped=True))


def _fault(row: Row, classes: int) -> tuple[Kind, str] | None:
    """What is wrong with the class or the count of numbers in a line."""
    if len(row) < 3 or not len(row) % 2:
        return Kind.MALFORMED, f"{len(row)} numbers; a class and pairs of x and y are expected"
    if not row[0].is_integer():
        return Kind.MALFORMED, f"its class is {row[0]:g}, no whole number"
    if not 0 <= row[0] < classes:
        return Kind.BAD_CLASS, f"class {row[0]:.9g}; there are 0 to {classes - 1}"
    if len(row) < BOX:
        return Kind.FEW_POINTS, "one point makes no outline"
    return None


def _shown(text: bytes) -> str:
    words = text.decode("utf-8", "replace").strip()
    return words if len(words) <= 40 else words[:37] + "..."


def lines_of(labels: Labels) -> list[str]:
    """Labels as lines: outlines of one part, and boxes where there is none.

    Raises:
        ValueError: there are run lengths, or outlines of several parts, which one line cannot say.
    """
    lines = []
    for index, box, shape in zip(labels.classes, labels.boxes, labels.shapes, strict=True):
        if isinstance(shape, dict) or len(shape) > 1:
            raise ValueError("run lengths and outlines of several parts must be made one outline first")
        x1, y1, x2, y2 = map(float, box)
        numbers = shape[0].ravel() if shape else [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        lines.append(" ".join([str(index), *(f"{number:.9g}" for number in numbers)]))
    return lines
