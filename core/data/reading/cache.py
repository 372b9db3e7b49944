"""What was parsed of a place's labels, kept in a file, so that the next run need not parse them again.

The file is a numpy archive (.npz, never a pickle) beside the labels, or in segkit's cache where their folder must not
be written to. It holds stamps of everything it was made from: paths, sizes, times of change, permissions. Where one of
them is different, or the file is damaged, it counts as absent. Whatever goes wrong with it, nobody hears of it: it only
saves time.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segkit.core.data.problems import Kind
from segkit.core.data.reading.packing import pack, unpack
from segkit.core.data.sample import Scan
from segkit.core.errors import SegkitError
from segkit.core.files import atomic_write
from segkit.core.hub.cache import cache_folder

VERSION = 2
"""Of the file's layout and of what readers make of labels; another number makes every file stale."""

SUFFIX = ".segkit.npz"


class Cache:
    """The kept scan of one place."""

    def __init__(self, place: Path, variant: object) -> None:
        """`place` is a folder or file of labels beside which it is kept; `variant` tells several of it apart."""
        whole = os.path.abspath(place)  # noqa: PTH100 - never raises
        name = f"{place.stem[:80]}.{_digest([whole, repr(variant)])[:8]}{SUFFIX}"
        self._paths = [cache_folder() / "labels" / name]
        if _may_write(place.parent):
            self._paths.insert(0, place.parent / name)

    def load(self, stamp: str) -> Scan | None:
        """What was kept with this stamp, if its pictures are the same still."""
        for path in self._paths:
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    meta = json.loads(archive["meta"].tobytes())
                    if meta["version"] != VERSION or meta["stamp"] != stamp:
                        continue
                    scan = unpack(meta["scan"], archive)
                    if meta["pictures"] == stamp_of(_pictures(scan)):
                        return scan
            except Exception:  # damaged bytes make readers raise anything
                continue
        return None

    def save(self, stamp: str, scan: Scan) -> None:
        """Keep it, where that is possible."""
        said, arrays = pack(scan)
        meta = {"version": VERSION, "stamp": stamp, "pictures": stamp_of(_pictures(scan)), "scan": said}
        for path in self._paths:
            try:
                with atomic_write(path) as partial, partial.open("wb") as file:
                    np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
            except (OSError, ValueError, SegkitError):  # read-only, a full disk, an image id that is no text of JSON
                continue
            return


def stamp_of(files: Iterable[str], *words: str) -> str:
    """A text that is another one when one of the files was changed, is gone or new, and with other words."""
    return _digest([*words, *(part for file in files for part in (file, _state(file)))])


def _state(file: str) -> str:
    try:
        state = os.stat(file)  # noqa: PTH116 - once a file
    except (OSError, ValueError):
        return "-"
    return f"{state.st_size} {state.st_mtime_ns} {state.st_mode}"


def _digest(parts: Iterable[str]) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()


def _pictures(scan: Scan) -> list[str]:
    """The pictures that were looked at, also those that were left out."""
    bad = (Kind.CORRUPT_PICTURE, Kind.MISSING_PICTURE)
    faulty = (problem for problem in scan.problems if problem.kind in bad)
    return [*(str(sample.path) for sample in scan.samples), *(str(problem.path) for problem in faulty)]


def _may_write(folder: Path) -> bool:
    """Whether a folder is meant to be written to: an administrator could write anywhere."""
    try:
        return bool(folder.stat().st_mode & stat.S_IWUSR) and os.access(folder, os.W_OK)
    except OSError:
        return False
