"""Data sets that users name: which there are, and what such a name means on this machine.

Nothing is downloaded unless asked for, and what a description says under `download` is never run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segkit.core.data.description import SUFFIXES
from segkit.core.data.named.entries import Entry, entries, entry, guess, known
from segkit.core.data.named.places import VARIABLE, dataset_folders, find, home, searched
from segkit.core.errors import SourceError
from segkit.core.files import expanded
from segkit.core.http import is_address, is_offline, masked
from segkit.core.notices import size_of

__all__ = ["Entry", "dataset_folders", "entries", "entry", "find", "home", "locate"]


def locate(data: str | Path, *, download: bool = False, splits: Sequence[str] = ()) -> Path:
    """The file or folder that `data` means: a path that exists, else a data set that is known by its name.

    Args:
        data: a path; or a bare name, with or without ".yaml": one of the catalogue, or of any data set in the folders
            that are searched.
        download: fetch one of the catalogue that is not here.
        splits: those that a download shall bring, e.g. only "val"; all unless given.

    Raises:
        SourceError: it is nowhere; the message says where was looked and what to do.
        OptionError: it was to be fetched and has no such split.
        OutputError: it was to be fetched and cannot be written.
    """
    text = os.fspath(data)
    if is_address(text):
        raise SourceError(masked(text), "a data set is not read from an address; download it and give its data.yaml")
    path = expanded(text)
    if text and _exists(path):
        return path
    named = known(path.name)
    if text != path.name or not text:
        meant = f"; '{path.name}' alone means the data set of that name" if named else guess(path.name, _beside(path))
        raise SourceError(text, f"there is no such file or folder{meant}")
    if found := find(text):
        return found
    if named is None:
        hint = guess(text, [*_beside(path), *(each.name for each in entries())])
        raise SourceError(text, f"there is no such file or folder, nor a data set of that name ({_looked()}){hint}")
    if download:
        from segkit.core.data.named.get import get

        return get(named.name, splits=splits)
    raise SourceError(text, _way(named))


def _way(missing: Entry) -> str:
    """What to do about a data set that is not here."""
    problem = f"this data set is not on this machine ({_looked()})"
    if not missing.parts:
        return f"{problem}; segkit data get {missing.name} generates it"
    if is_offline():
        return f"{problem}, and SEGKIT_OFFLINE forbids to download it; set {VARIABLE} to the folder that it is in"
    size = size_of(missing.bytes)
    if (least := missing.bytes_of("val")) < missing.bytes:
        size += f"; with --split val {size_of(least)}"
    return f"{problem}; run segkit data get {missing.name} ({size}), or set {VARIABLE} to the folder that it is in"


def _looked() -> str:
    return "looked in " + ", ".join(f"'{folder}'" for folder in searched())


def _beside(path: Path) -> list[str]:
    """Descriptions in the folder of a path that is not there."""
    try:
        return [each.name for each in path.parent.iterdir() if each.suffix.lower() in SUFFIXES]
    except (OSError, ValueError):
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
