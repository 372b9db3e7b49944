"""The table of data sets that have a name: what catalogue.yaml says, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from segkit.core.errors import SourceError, nearest

SLACK = 16 << 20
"""Bytes by which any part may be larger than the table says."""


@dataclass(frozen=True)
class Part:
    """One zip file of a data set.

    Attributes:
        url: where it is published.
        into: folder of the data set that it is unpacked in.
        strip: folder at the top of the zip that is left out; empty if none.
        bytes: its size; about, unless `sha256` is known.
        unpacked: what it becomes, about.
        splits: those that need it.
        sha256: what it must have, in hex; empty if none is on record.
    """

    url: str
    into: str
    bytes: int
    unpacked: int
    splits: tuple[str, ...]
    strip: str = ""
    sha256: str = ""

    @property
    def limit(self) -> int:
        """Bytes that no download of it has: what `bytes` says is about right, and files are published anew."""
        return 2 * self.bytes + SLACK

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Entry:
    """A data set that has a name.

    Attributes:
        name: as users write it, with ".yaml".
        title: what it is, a few words.
        pictures: how many each split has.
        splits: the place of each split, from the data set's folder on.
        source: who publishes it.
        licence: the terms, one line.
        parts: what is downloaded; nothing of one that is generated.
        bytes: size on the way, or of what is generated, about.
        same: its splits are the same pictures.
    """

    name: str
    title: str
    classes: str
    pictures: Mapping[str, int]
    splits: Mapping[str, str]
    source: str
    licence: str
    parts: tuple[Part, ...]
    bytes: int
    same: bool = False

    @property
    def stem(self) -> str:
        """The name without its suffix, which is that of its folder."""
        return Path(self.name).stem

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        if self.classes == "coco":
            from segkit.core.data.named.coco_classes import NAMES
        else:
            from segkit.core.data.shapes.masks import NAMES
        return NAMES

    def bytes_of(self, split: str) -> int:
        """What comes for one split alone, in bytes."""
        return sum(part.bytes for part in self.parts if split in part.splits)

    @property
    def count(self) -> int:
        """Number of pictures."""
        return max(self.pictures.values()) if self.same else sum(self.pictures.values())


@cache
def table() -> dict[str, Entry]:
    """By name."""
    import yaml

    raw = yaml.safe_load(files("segkit.core.data.named").joinpath("catalogue.yaml").read_text(encoding="utf-8"))
    return {name: _entry(name, facts) for name, facts in raw.items()}


def entries() -> tuple[Entry, ...]:
    """Every data set that has a name."""
    return tuple(table().values())


def known(name: str) -> Entry | None:
    """The one of that name, with or without ".yaml"; None if there is none."""
    return table().get(name) or table().get(f"{name}.yaml")


def entry(name: str) -> Entry:
    """The one of that name, with or without ".yaml".

    Raises:
        SourceError: there is none.
    """
    found = known(name)
    if found is None:
        names = [each.name for each in entries()]
        raise SourceError(name, f"no data set has that name; known are {', '.join(names)}{guess(name, names)}")
    return found


def guess(given: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that is not known; empty if no known one is like it."""
    found = nearest(given, names)
    return f"; the nearest is '{found}'" if found else ""


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    parts = tuple(Part(**part | {"splits": tuple(part["splits"])}) for part in facts.pop("parts", ()))
    facts.setdefault("bytes", sum(part.bytes for part in parts))
    return Entry(name=name, parts=parts, **facts)
