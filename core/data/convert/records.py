"""What every reader of labels gives and every writer takes: pictures with objects whose outlines are in pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segkit.core.data.tracing import Points


@dataclass(frozen=True, eq=False)
class Item:
    """One object.

    Attributes:
        category: index of its class.
        parts: outlines of its parts, filled by the even-odd rule; none where only a box is known.
        box: (4,) x1, y1, x2, y2 in pixels.
    """

    category: int
    parts: tuple[Points, ...]
    box: Points


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture.

    Attributes:
        name: path of the file, relative to the folder of its split, with forward slashes.
        size: (height, width) in pixels, as shown.
        items: its objects.
        path: the file, if it was found.
        ident: the number that the source gives it.
    """

    name: str
    size: tuple[int, int]
    items: tuple[Item, ...]
    path: Path | None = None
    ident: int | None = None


@dataclass
class Material:
    """What a source holds, read while it is iterated.

    Attributes:
        names: class names by index.
        splits: the pictures of each split.
        totals: number of pictures of each split, for the progress bar.
        skipped: reason → number of things left out; complete once everything was iterated.
    """

    names: tuple[str, ...]
    splits: Mapping[str, Iterable[Picture]]
    totals: Mapping[str, int]
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Attributes:
        source, target: from where and to where.
        kind: what the source was read as.
        to: what was written.
        names: class names by index.
        pictures: pictures written, by split.
        objects: objects written, by class name; classes without objects are not in it.
        empty: pictures among them without objects.
        linked: pictures among them that were found, and linked or copied.
        skipped: reason → number of things left out.
    """

    source: Path
    target: Path
    kind: str
    to: str
    names: tuple[str, ...]
    pictures: Mapping[str, int]
    objects: Mapping[str, int]
    empty: int
    linked: int
    skipped: Mapping[str, int]
