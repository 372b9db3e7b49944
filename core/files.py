"""Writing files and folders whole or not at all, under names that every system has, and saying why one cannot be.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
import sys
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


def expanded(path: str | Path) -> Path:
    """A path as users write it, "~" being their home; "~name" of nobody here is a name like any other."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - the other one raises there


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
def atomic_write(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well and vanishes when it does not.

    Args:
        path: the file.
        durable: wait until the disk has it, so that a power cut leaves the old file or the new one.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    path = Path(path)
    if os.path.islink(path):  # noqa: PTH114 - never raises; written through, as an ordinary write would
        path = Path(os.path.realpath(path))
    partial = sibling(path)
    try:
        with made_folder(path.parent):
            try:
                yield partial
                if durable:
                    _synchronise(partial)
                partial.replace(path)
                if durable and sys.platform != "win32":  # where a folder cannot be opened
                    _synchronise(path.parent)
            finally:
                remove(partial)
    except OSError as error:
        raise output_error(path, error) from error


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def new_folder(folder: str | Path, *, exist_ok: bool = False, advice: str = "give a new folder") -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well and vanishes when it does not.

    An existing folder stays the same one, as somebody's working folder or a mounted disk, and gets what is in the new
    one.

    Args:
        folder: must not exist, or be empty.
        exist_ok: it need not be empty; what has the same name in it is overwritten.
        advice: what to do about a folder that is not empty.

    Raises:
        OutputError: it is not empty, something else of that name is in the way, or it cannot be written.
    """
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - "." has no name, and links stay links
    check_new_folder(folder, exist_ok=exist_ok, advice=advice)
    try:
        # Into an empty folder nothing is moved from beside it: that may be another disk, or not allowed.
        empty = place.is_dir() and not any(place.iterdir())
        partial = sibling(place / place.name if empty else place)
        with made_folder(partial.parent):
            try:
                partial.mkdir()
                yield partial
                merge(partial, place)
            finally:
                remove(partial)
    except OSError as error:
        raise output_error(folder, error) from error


def check_new_folder(folder: str | Path, *, exist_ok: bool = False, advice: str = "give a new folder") -> None:
    """Refuse what `new_folder` would refuse, before any work is done; sweeps up what killed runs left.

    Raises:
        OutputError: as there.
    """
    path = Path(os.path.abspath(folder))  # noqa: PTH100
    try:
        if "\0" in str(folder):
            raise OutputError(folder, "no folder can have a name with a NUL in it")
        if os.path.lexists(path) and not path.is_dir():
            raise OutputError(folder, "something of that name is in the way, no folder")
        sweep(path)
        if path.is_dir():
            sweep(path / path.name)
        if path.is_dir() and not exist_ok and any(path.iterdir()):
            raise OutputError(folder, f"it is not empty; {advice}")
    except OSError as error:
        raise output_error(folder, error) from error


def merge(made: Path, place: Path) -> None:
    """Move a file or folder to its place: at once where nothing is, else what is in it one by one, files last.

    A link takes the place of no file: that may be the very picture that it leads to.
    """
    if made.is_symlink() and place.exists() and not place.is_symlink():
        return
    if made.is_dir() and not made.is_symlink() and place.is_dir():
        for inside in sorted(made.iterdir(), key=Path.is_file):
            merge(inside, place / inside.name)
    else:
        made.replace(place)


def sibling(target: Path, purpose: str = "partial") -> Path:
    """A hidden name beside the target that tells whose it is, so that a later run can sweep up after a killed one."""
    return target.with_name(f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.{purpose}")


def sweep(target: Path, purposes: Iterable[str] = ("partial",)) -> None:
    """Remove what killed runs left beside this target under names that `sibling` gave them."""
    start = f".{target.name[:100]}."
    for purpose in purposes:
        for path in target.parent.glob(f"{glob.escape(start)}*-*.{purpose}"):
            pid = path.name.removeprefix(start).split("-")[0]
            if pid.isdigit() and not is_running(int(pid)):
                remove(path)


def is_running(pid: int) -> bool:
    """Whether there is such a process; where that cannot be found out, there is."""
    if sys.platform == "win32":  # os.kill(pid, 0) would end the process there; leave its files alone
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there and that is allowed; links are not followed."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
