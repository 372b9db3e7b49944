"""Pictures whose objects have class names instead of numbers, as most annotation tools write them; numbered at last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segkit.core.data.convert.places import seen_size
from segkit.core.data.convert.records import Item, Material, Picture
from segkit.core.data.convert.shapes import box_item, item_of
from segkit.core.data.description import SPLITS
from segkit.core.data.tracing import Points
from segkit.core.errors import SourceError
from segkit.core.images.reading import MAX_PIXELS

_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
"""Names of folders that mean one of the splits."""

UNNAMED = "objects of a class that is not among the names given"


@dataclass(frozen=True, eq=False)
class Drawn:
    """One object: its class, the outlines of its parts, or where there are none its box x1, y1, x2, y2, in pixels."""

    label: str
    parts: Sequence[Points]
    box: Sequence[float] | None = None


@dataclass(eq=False)
class Draft:
    """One picture. `size` (height, width) is what its labels say, None if nothing."""

    name: str
    size: tuple[int, int] | None
    path: Path | None
    split: str
    objects: list[Drawn] = field(default_factory=list)


def split_of(name: str) -> tuple[str, str]:
    """The split that the first folder of a relative path names, train if none, and the path without that folder."""
    first, slash, rest = name.partition("/")
    split = split_called(first)
    return (split, rest) if slash and split else (SPLITS[0], name)


def split_called(name: str) -> str | None:
    """The split that tools call so: "validation" is val."""
    split = _SPLITS.get(name.lower(), name.lower())
    return split if split in SPLITS else None


def material_of(source: Path, drafts: Sequence[Draft], names: Sequence[str] | None, skipped: Counter[str]) -> Material:
    """All pictures by split. Without `names`, those that objects have are the classes, in the order of the alphabet.

    Raises:
        SourceError: not one object has a class.
    """
    if names is None:
        names = sorted({drawn.label for draft in drafts for drawn in draft.objects})
    if not names:
        left_out = f" ({', '.join(f'{count} {reason}' for reason, count in skipped.items())})" if skipped else ""
        raise SourceError(source, f"not one object in it has an outline or a box{left_out}")
    index = {name: number for number, name in enumerate(names)}
    found: dict[str, list[Draft]] = {}
    for draft in drafts:
        found.setdefault(draft.split, []).append(draft)
    splits = {split: _Split(found[split], index, skipped) for split in sorted(found, key=_rank)}
    return Material(tuple(names), splits, {split: len(found[split]) for split in splits}, skipped)


def _rank(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


@dataclass(frozen=True)
class _Split:
    drafts: Sequence[Draft]
    index: dict[str, int]
    skipped: Counter[str]

    def __iter__(self) -> Iterator[Picture]:
        for draft in self.drafts:
            shown = seen_size(draft.path) if draft.path else draft.size
            if shown is None or shown[0] * shown[1] > MAX_PIXELS:
                self.skipped["pictures that cannot be read or have no known size"] += 1
            elif draft.size not in (None, shown):
                self.skipped["pictures of another size than their labels say"] += 1
            else:
                items = tuple(self._items(draft.objects, shown))
                yield Picture(draft.name, shown, items, draft.path)

    def _items(self, objects: Iterable[Drawn], size: tuple[int, int]) -> Iterator[Item]:
        for drawn in objects:
            category = self.index.get(drawn.label)
            item: Item | str
            if category is None:
                item = UNNAMED
            elif drawn.box is not None:
                item = box_item(category, drawn.box, size)
            else:
                item = item_of(category, drawn.parts, size)
            if isinstance(item, str):
                self.skipped[item] += 1
            else:
                yield item
