"""Writing files whole or not at all under names that every system has, and saying in words why one cannot be written.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from segkit.core.errors import OutputError

_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose another folder",
    errno.EPERM: "permission denied; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "something of that name is in the way",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
}

_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows takes for devices, whatever their suffix and folder."""


def file_name_of(name: str) -> str:
    """A class or source as the name of a file or folder on any system: no separators, no dots or blanks at the ends."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ")[:100].rstrip(". ") or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def output_error(path: str | Path, error: OSError) -> OutputError:
    """The OutputError that explains an OSError met while writing `path`."""
    return OutputError(path, _WORDS.get(error.errno or 0, (error.strerror or str(error)).lower()))


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """`folder` exists in the block. Those that had to be made for it vanish again, if empty, when the block fails."""
    made = absent_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        remove_empty(made)
        raise


def absent_folders(folder: Path) -> list[Path]:
    """Those that would have to be made for `folder` to exist, the deepest first."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders`, the deepest first, that are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well and vanishes when it does not.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    path = Path(path)
    if os.path.islink(path):  # noqa: PTH114 - never raises; written through, as an ordinary write would
        path = Path(os.path.realpath(path))
    partial = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with made_folder(path.parent):
            try:
                yield partial
                partial.replace(path)
            finally:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
