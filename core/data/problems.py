"""What can be wrong with a data set, as one list that every reader adds to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """Kinds of problems; the value is what a person reads and what --json says."""

    CORRUPT_PICTURE = "corrupt picture"
    MISSING_PICTURE = "missing picture"
    MALFORMED = "malformed line"
    OUT_OF_RANGE = "coordinates out of range"
    BAD_CLASS = "class out of range"
    FEW_POINTS = "fewer than 3 points"
    NO_AREA = "no area"
    OTHER_SIZE = "picture of other proportions"
    SELF_INTERSECTION = "self-intersection"
    MIXED = "boxes and polygons mixed"
    DUPLICATE_ROW = "duplicate object"
    DUPLICATE_PICTURE = "duplicate picture"
    MISSING_LABEL = "missing label"
    SPLIT_OVERLAP = "picture in two splits"
    UNREADABLE_LABEL = "unreadable label file"
    UNUSED_LABEL = "label without a picture"


@dataclass(frozen=True)
class Problem:
    """One of them.

    Attributes:
        kind: what it is.
        path: the file it is in.
        words: what was met, in a few words.
        line: number of the line from 1 on, where the file has lines.
        dropped: the row, or the picture, was left out; otherwise it was used as it is.
    """

    kind: Kind
    path: Path
    words: str
    line: int | None = None
    dropped: bool = False

    def __str__(self) -> str:
        """As one line: file:line: kind: words."""
        where = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return f"{where}: {self.kind}: {self.words}"
