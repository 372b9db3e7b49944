"""Which pictures stand at the places that a description names: folders, lists, patterns, single files."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from segkit.core.errors import SourceError
from segkit.core.images.files import PICTURE_SUFFIXES, head_of
from segkit.core.images.lists import names_in_lines
from segkit.core.images.signature import is_picture, text_of

_LIST = ".txt"


def pictures_at(place: str) -> list[Path]:
    """The pictures at a place, without opening them; those of a list as it says, the others sorted.

    Args:
        place: a folder (with its subfolders), a .txt list of pictures or of such places, a pattern, or a picture.

    Raises:
        SourceError: there is nothing, a list cannot be read or holds itself, or a folder must not be opened.
    """
    return [Path(path) for path in _found(place, ())]


def _found(place: str, lists: tuple[str, ...]) -> list[str]:
    try:
        mode = os.stat(place).st_mode  # noqa: PTH116 - these run once a picture
    except (OSError, ValueError) as error:
        if glob.has_magic(place):
            names = glob.glob(place, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
            return sorted(name for name in names if _counts(name) and os.path.isfile(name))  # noqa: PTH113
        problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(place, problem.lower()) from None
    if stat.S_ISDIR(mode):
        return sorted(_in_folder(place))
    if place.lower().endswith(_LIST) and stat.S_ISREG(mode):
        return _listed(place, lists)
    return [place]


def _in_folder(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise SourceError(error.filename or folder, (error.strerror or str(error)).lower())

    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(os.path.join(parent, name), folder)]  # noqa: PTH118
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            if _counts(path):
                yield path


def _leads_back(path: str, top: str) -> bool:
    """Whether a folder is a link to one that it is in, below `top`: its pictures would be met again and again."""
    if not os.path.islink(path):  # noqa: PTH114
        return False
    real, above = os.path.join(os.path.realpath(path), ""), path  # noqa: PTH118
    while len(above) > len(top):
        above = os.path.dirname(above)  # noqa: PTH120
        if os.path.join(os.path.realpath(above), "").startswith(real):  # noqa: PTH118
            return True
    return False


def _counts(path: str) -> bool:
    """Whether a file of a folder is one of its pictures: by its suffix, without one by its content."""
    name = os.path.basename(path)  # noqa: PTH119
    if name.startswith("."):
        return False
    suffix = os.path.splitext(name)[1]  # noqa: PTH122
    return suffix.lower() in PICTURE_SUFFIXES if suffix else is_picture(head_of(Path(path)))


def _listed(path: str, lists: tuple[str, ...]) -> list[str]:
    real = os.path.realpath(path)
    if real in lists:
        raise SourceError(path, "the list holds itself")
    try:
        text = text_of(Path(path).read_bytes())
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None
    if text is None:
        raise SourceError(path, "the list is not text in UTF-8")
    found: list[str] = []
    for name in names_in_lines(text):
        place = _placed(name, os.path.dirname(path))  # noqa: PTH120
        # A picture that is missing is a fault of that line only: reading it will say so.
        simple = name.lower().endswith(PICTURE_SUFFIXES) and not glob.has_magic(name)
        found += [place] if simple else _found(place, (*lists, real))
    return found


def _placed(name: str, folder: str) -> str:
    """What a list in `folder` calls `name`: there, else in the working folder; as on Windows, too."""
    inside = os.path.normpath(os.path.join(folder, os.path.expanduser(name)))  # noqa: PTH111, PTH118
    if os.path.lexists(inside):
        return inside
    if "\\" in name:
        return _placed(name.replace("\\", "/"), folder)
    return name if os.path.lexists(name) else inside
