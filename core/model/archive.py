"""The container of a `.pt` file: a zip with one pickle and its blocks of numbers, opened without executing anything."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

from segkit.core.errors import ModelFileError, UnsafeCheckpointError
from segkit.core.model.pickles import DamagedPickle, RefusedGlobal, read_pickle

MAX_PICKLE = 4 << 20
"""Ten times the largest real checkpoint's; a stream of that size is read in three seconds, whatever it holds."""

DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, RuntimeError)
"""What zipfile raises over a damaged archive: its own error, and whatever the damage leads to (names that are no text,
versions that do not exist: NotImplementedError is a RuntimeError).
"""


class Archive:
    """A `.pt` file that is open for reading."""

    def __init__(self, path: Path) -> None:
        """Open it and find its parts.

        Raises:
            ModelFileError: cut off, damaged, or not a torch archive.
        """
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self._left = path.stat().st_size
        except OSError as error:
            raise ModelFileError(path, error.strerror or str(error)) from None
        except DAMAGED:
            problem = "it is cut off or damaged: the directory at the end of the archive is missing. Download it again"
            raise ModelFileError(path, problem) from None
        try:
            self._root = self._find_root()
        except BaseException:
            self._zip.close()
            raise

    def tree(self) -> Any:
        """The pickle as data, see `segkit.core.model.pickles`.

        Raises:
            UnsafeCheckpointError: it names something outside the safe list.
            ModelFileError: it is damaged.
        """
        try:
            return read_pickle(self._read(f"{self._root}data.pkl", MAX_PICKLE))
        except RefusedGlobal as error:
            raise UnsafeCheckpointError(self._path, str(error)) from None
        except DamagedPickle as error:
            raise ModelFileError(self._path, str(error)) from None

    def block(self, key: str) -> bytearray:
        """The block of numbers `key`; its checksum is verified.

        Raises:
            ModelFileError: it is missing or damaged.
        """
        return bytearray(self._read(f"{self._root}data/{key}"))

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _find_root(self) -> str:
        names = self._zip.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if not roots:
            raise ModelFileError(self._path, "it is a zip archive without a checkpoint in it")
        root = roots[0]
        if f"{root}constants.pkl" in names or any(name.startswith(f"{root}code/") for name in names):
            raise ModelFileError(self._path, "it is a model that was compiled to a script, not a checkpoint")
        if f"{root}byteorder" in names and self._read(f"{root}byteorder", 16) != b"little":
            raise ModelFileError(self._path, "its numbers are big-endian, which is not supported")
        return root

    def _read(self, name: str, limit: int | None = None) -> bytes:
        try:
            info = self._zip.getinfo(name)
            # Nothing in an archive that torch wrote is compressed or overlaps, so all its parts fit in the file.
            largest = self._left if limit is None else min(limit, self._left)
            if info.file_size > largest or info.compress_type != zipfile.ZIP_STORED:
                raise ModelFileError(self._path, f"it is damaged: {name} is compressed or far too large")
            self._left -= info.file_size
            return self._zip.read(info)
        except (*DAMAGED, OSError) as error:
            raise ModelFileError(self._path, f"it is damaged or cut off at {name} ({error})") from None
