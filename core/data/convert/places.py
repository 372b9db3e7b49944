"""Where the pictures of labels are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from segkit.core.data.reading.header import size_of
from segkit.core.errors import SourceError
from segkit.core.files import expanded
from segkit.core.images.files import PICTURE_SUFFIXES

FOLDERS = ("images", "JPEGImages", "imgs", "img", ".")
"""Where pictures lie beside or above their labels, by common custom."""


LONGEST = 250
"""Bytes of a file's name that every file system takes, with a longer suffix too."""


def safe_name(name: str) -> str | None:
    """A file's name as labels give it, with forward slashes; None if it leads out of its folder or cannot be."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        return None
    try:
        longest = max(len(os.fsencode(part)) for part in path.parts)
    except UnicodeEncodeError:
        return None
    return path.as_posix() if longest <= LONGEST else None


def folder_with(names: Iterable[str], candidates: Iterable[Path]) -> Path | None:
    """The first of some folders that holds any of the first few named files."""
    first = [name for _, name in zip(range(5), names, strict=False)]
    for folder in candidates:
        if any((folder / name).is_file() for name in first):
            return folder
    return None


def given_folder(images: str | Path | None) -> Path | None:
    """The folder that the user names.

    Raises:
        SourceError: it is not there.
    """
    if images is None:
        return None
    folder = expanded(images)
    if not folder.is_dir():
        raise SourceError(images, "there is no such folder of pictures")
    return folder


def folder_with_pictures(candidates: Iterable[Path]) -> Path | None:
    """The first of some folders that has a picture in it or below."""
    return next((folder for folder in candidates if folder.is_dir() and by_stem(folder)), None)


def by_stem(folder: Path, suffixes: tuple[str, ...] = PICTURE_SUFFIXES) -> Mapping[str, Path]:
    """The pictures below a folder by their path in it without suffix, sorted; the first of equal ones."""
    found: dict[str, Path] = {}
    for parent, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                path = Path(parent, name)
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def seen_size(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture as it is shown; None if it cannot be read."""
    try:
        return size_of(path)
    except SourceError:
        return None


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all of some files, at least one."""
    return Path(os.path.commonpath([path.parent for path in paths]))
