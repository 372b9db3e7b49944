"""A data set's description: a small YAML file that names its classes and says where its pictures are.

    path: .                 # folder of the data set; a relative one starts at the folder of this file
    train: images/train     # a folder (searched with its subfolders), a .txt list, a pattern, or a list of these
    val: images/val
    test: images/test       # optional
    names:                  # by class index, or a plain list
      0: person
      1: bicycle

Keys that are not known, scripts that would download something among them, are left alone.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from segkit.core.errors import SourceError, did_you_mean
from segkit.core.yamls import read_yaml

SUFFIXES = (".yaml", ".yml")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetDescription:
    """What a description says.

    Attributes:
        path: the file itself.
        root: the data set's folder.
        names: class names by index, 0 … n - 1.
        splits: where the pictures of each split are, as the file says it; not yet looked for.
    """

    path: Path
    root: Path
    names: Mapping[int, str]
    splits: Mapping[str, tuple[str, ...]]

    def sources(self, split: str) -> list[str]:
        """The places of a split, as `segkit.core.images.open_sources` takes them.

        Raises:
            SourceError: the file has no such split, or there is nothing at one of its places.
        """
        return [
            str(Path(glob.escape(place)) / "**" / "*.*") if Path(place).is_dir() else place
            for place in self.places(split)
        ]

    def places(self, split: str) -> list[str]:
        """The same as folders, lists, patterns and files.

        Raises:
            SourceError: the file has no such split, or there is nothing at one of its places.
        """
        if split not in self.splits:
            known = f"it has {', '.join(self.splits)}" if self.splits else "it has none"
            raise SourceError(self.path, f"the data set has no split '{split}'; {known}")
        with _named(self.path, f"its split '{split}'"):
            return [self._place(split, text) for text in self.splits[split]]

    def _place(self, split: str, text: str) -> str:
        place = self.root / Path(text).expanduser()
        if not place.exists() and text.startswith("../") and (self.root / text[3:]).exists():
            place = self.root / text[3:]  # as a labelling service writes them: relative to one of its own folders
        if not place.exists() and not glob.has_magic(text):
            raise SourceError(self.path, f"its split '{split}' leads to '{place}', which is not there")
        return str(place)


def is_description(source: object) -> bool:
    """Whether a source is named as a description is."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() in SUFFIXES


def read_description(path: str | Path) -> DatasetDescription:
    """Read a description; pictures are not looked for yet, but the data set's folder is.

    Raises:
        SourceError: there is no such file, it is no description, or its folder is not there.
    """
    with _named(path, "its name"):
        path = Path(path).expanduser()
    raw = _mapping(path)
    names = _names(path, raw)
    splits = {split: _texts(path, split, raw[split]) for split in SPLITS if raw.get(split)}
    if not splits:
        raise SourceError(path, f"it names no pictures: a data set has at least one of {', '.join(SPLITS)}")
    return DatasetDescription(path, _root(path, raw), MappingProxyType(names), MappingProxyType(splits))


def names_in(path: Path) -> dict[int, str]:
    """The class names of a description by index, also where its pictures are no longer at the places that it names.

    Raises:
        SourceError: there is no such file, or it names no classes.
    """
    return _names(path, _mapping(path))


@contextmanager
def _named(path: str | Path, what: str) -> Iterator[None]:
    """What no file system could hold, and "~name" of nobody here, are faults of the description."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(path, f"{what} leads nowhere: {problem.rstrip('.').lower()}") from None


def _mapping(path: Path) -> dict[str, Any]:
    """The file's mapping of texts."""
    try:
        raw = read_yaml(path, texts=True)  # a class may be called "no" or "1:30"
    except FileNotFoundError:
        beside = [found.name for found in path.parent.glob("*") if is_description(found)] if path.name else []
        hint = did_you_mean(path.name, beside).rstrip(".")
        raise SourceError(path, f"there is no such description of a data set.{hint}".rstrip(".")) from None
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None
    except ValueError as error:
        raise SourceError(path, str(error)) from None
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise SourceError(path, "it is no description of a data set: a mapping with train, val and names is expected")
    return raw


def _root(path: Path, raw: Mapping[str, Any]) -> Path:
    given = raw.get("path") or "."
    if not isinstance(given, str):
        raise SourceError(path, "its path must be one folder")
    with _named(path, "its path"):
        root = path.parent / Path(given).expanduser()
        found = root.is_dir()
    if not found:
        raise SourceError(path, f"its path leads to '{root}', which is no folder (a relative one starts at this file)")
    return root


def _names(path: Path, raw: Mapping[str, Any]) -> dict[int, str]:
    given, count = raw.get("names"), raw.get("nc")
    if given is None:
        raise SourceError(path, "it names no classes: give names, by index or as a list")
    names = given if isinstance(given, Mapping) else dict(enumerate(given)) if isinstance(given, list) else {}
    try:
        found = {int(index): name for index, name in names.items()}
    except (TypeError, ValueError):
        found = {}
    if (
        not found
        or len(found) < len(names)
        or sorted(found) != list(range(len(found)))
        or not all(isinstance(n, str) for n in found.values())
    ):
        raise SourceError(path, "its names must be a list, or texts by class index 0, 1, 2, … without a gap")
    if count not in (None, str(len(found))):
        raise SourceError(path, f"it has {len(found)} names, but nc says {count!r}")
    return {index: found[index] for index in sorted(found)}


def _texts(path: Path, split: str, given: Any) -> tuple[str, ...]:
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) and text for text in texts):
        raise SourceError(path, f"its split '{split}' must be a path or a list of paths")
    return tuple(texts)
