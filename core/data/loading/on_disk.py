"""Pictures of a data set in a file of segkit's cache folder, brought to size.

The file is named after the data set's pictures and their size, and holds a digest of all that the pixels depend on:
path, size and time of every picture. A file of another digest is replaced, and so is one that is cut or damaged.

    magic, digest, padding to 4096 bytes; pixels; checksum of each picture, which are there; digest of these two
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from segkit.core.data.augment.labelled import Labelled
from segkit.core.data.loading.keeping import Kept, Layout, fill
from segkit.core.files import atomic_write, made_folder, sweep
from segkit.core.hub.cache import cache_folder, writing
from segkit.core.images.batch import Picture
from segkit.core.notices import notice, size_of

FOLDER = "pictures"
"""In the cache folder."""

_MAGIC = b"segkit pictures1"
_START = 4096
_LOOKED_AT = 64
"""Pictures whose checksums are compared when a file is opened: all of them would be to read the whole file."""


def place_of(labelled: Labelled, side: int) -> Path:
    """The file for the pictures of a data set."""
    found = hashlib.sha256(str(side).encode())
    for index in range(len(labelled)):
        found.update(os.fsencode(os.path.abspath(labelled.path(index))) + b"\0")  # noqa: PTH100 - links stay links
    return cache_folder() / FOLDER / f"{found.hexdigest()[:24]}-{side}.pixels"


def kept_on_disk(labelled: Labelled, layout: Layout, path: Path) -> Kept:
    """The pictures in the file at `path`, which is made first where it is not there or no longer right.

    Raises:
        SourceError: a picture cannot be read any more.
        OutputError: the file cannot be written.
    """
    key = _key(labelled, layout)
    if (present := _read(path, key, layout)) is None:
        with writing(path), made_folder(path.parent), FileLock(path.with_name(f"{path.name}.lock")):
            # Of several processes the first one has made it in the meantime.
            if (present := _read(path, key, layout)) is None:
                present = _make(labelled, layout, path, key)
    notice(f"pictures of {layout.side} pixels: {size_of(layout.total)} in '{path}'")
    return Kept(layout, present, path, _START)


def _key(labelled: Labelled, layout: Layout) -> bytes:
    found = hashlib.sha256(layout.shapes.tobytes())
    for index in range(len(labelled)):
        path = labelled.path(index)
        try:
            status = path.stat()
            found.update(f"{path}|{status.st_size}|{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except OSError:  # reading it says what is wrong
            found.update(f"{path}|?\n".encode("utf-8", "surrogateescape"))
    return found.digest()


def _make(labelled: Labelled, layout: Layout, path: Path, key: bytes) -> NDArray[np.bool_]:
    sweep(path)
    checks, lock = np.zeros(len(labelled), np.uint32), threading.Lock()
    with atomic_write(path) as partial, partial.open("wb") as file:

        def keep(index: int, picture: Picture) -> None:
            pixels = np.ascontiguousarray(picture).data
            checks[index] = zlib.crc32(pixels)
            with lock:
                file.seek(_START + int(layout.starts[index]))
                file.write(pixels)

        present = fill(labelled, layout, keep, f"pictures to disk ({size_of(layout.total)})")
        file.seek(_START + layout.total)
        file.write(_table(checks, present))
        file.seek(0)
        file.write(_MAGIC + key)
    return present


def _table(checks: NDArray[np.uint32], present: NDArray[np.bool_]) -> bytes:
    tables = checks.astype("<u4").tobytes() + present.tobytes()
    return tables + hashlib.sha256(tables).digest()


def _read(path: Path, key: bytes, layout: Layout) -> NDArray[np.bool_] | None:
    """Which pictures are in a file; None if it is not there, or not right."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC) + len(key)) != _MAGIC + key:
                return None
            count = len(layout.shapes)
            file.seek(_START + layout.total)
            table = file.read()
            checks = np.frombuffer(table[: 4 * count], "<u4")
            present = np.frombuffer(table[4 * count : 5 * count], np.bool_)
            right = len(present) == count and table == _table(checks, present)
            return present if right and _is_sound(file, layout, checks, present) else None
    except (OSError, ValueError):
        return None


def _is_sound(file: BinaryIO, layout: Layout, checks: NDArray[np.uint32], present: NDArray[np.bool_]) -> bool:
    chosen = np.flatnonzero(present)
    for index in chosen[:: max(len(chosen) // _LOOKED_AT, 1)].tolist():
        start, end = layout.starts[index : index + 2].tolist()
        file.seek(_START + start)
        if zlib.crc32(file.read(end - start)) != checks[index]:
            return False
    return True
