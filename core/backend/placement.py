"""Puts a finished artefact in its place, whole or not at all.

At any moment, kill -9 included, the target is the old artefact, the new one, or (a folder on a system that cannot
exchange two names) absent; never half of either.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

from segkit.core.errors import OutputError
from segkit.core.files import output_error, remove, sibling, sweep


def check_target(target: Path, *, folder: bool | None = None) -> None:
    """Refuse a target that cannot be written, before any work is done. Creates missing parent folders.

    Raises:
        OutputError: read-only, disk full, or something of another kind stands there.
    """
    if target.parent.is_file():
        raise OutputError(target, f"'{target.parent}' is a file, not a folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = sibling(target, "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise output_error(target, error) from error
    if folder is False and target.is_dir() and not any(target.iterdir()):
        return
    if folder is not None and target.exists() and target.is_dir() != folder:
        raise OutputError(target, f"a {'folder' if target.is_dir() else 'file'} of that name is in the way")


def place(made: Path, target: Path) -> None:
    """Move `made` (a file or a folder, possibly on another file system) to `target`, replacing what is there.

    Raises:
        OutputError: the target cannot be written; what was there before is untouched.
    """
    check_target(target, folder=made.is_dir())
    sweep(target, ("partial", "old", "probe"))
    partial = sibling(target, "partial")
    try:
        _bring(made, partial)
        _swap_in(partial, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        remove(partial)


def _bring(made: Path, partial: Path) -> None:
    """Onto the target's file system: a rename where that is possible, else a copy that has reached the disk."""
    try:
        made.rename(partial)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    if made.is_dir():
        shutil.copytree(made, partial)
    else:
        shutil.copy2(made, partial)
    for path in [partial, *partial.rglob("*")] if partial.is_dir() else [partial]:
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _swap_in(partial: Path, target: Path) -> None:
    if not partial.is_dir() and target.is_dir():  # an empty one, which is nobody's
        target.rmdir()
    if not partial.is_dir() or not target.exists():
        partial.replace(target)  # atomic; a folder may take a free name
    elif not _exchange(partial, target):
        aside = sibling(target, "old")
        target.rename(aside)
        partial.rename(target)
        remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux renameat2); False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    at_fdcwd, rename_exchange = -100, 2
    return bool(renameat2(at_fdcwd, os.fsencode(one), at_fdcwd, os.fsencode(other), rename_exchange) == 0)
