"""SHA-256 of the files in a folder, held against what the folder says. Whatever it names may be hostile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from segkit.core.errors import ModelFileError


def digest(file: Path) -> str:
    """SHA-256, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_sums(sums: Mapping[object, object], root: Path, path: Path, notes: str) -> None:
    """Hold files against their sums.

    Args:
        sums: by the path in the folder, with slashes.
        root: the folder.
        path: the model as the user gave it, for errors.
        notes: name of the file that the sums are from, for errors.

    Raises:
        ModelFileError: one is damaged or missing, or lies elsewhere.
    """
    for name, wanted in sums.items():
        if {*str(name).split("/")} & {"", ".", ".."} or {*str(name)} & {*"\\:\0"}:
            raise ModelFileError(path, f"its {notes} names {str(name)!r}, which is no file of the folder: hostile?")
        if not _matches(root / str(name), wanted):
            raise ModelFileError(
                path,
                f"its {name} is damaged or was changed: not what its {notes} has the sum of. Copy or export it again",
            )


def _matches(file: Path, wanted: object) -> bool:
    try:
        return file.is_file() and digest(file) == wanted  # of a device or a pipe there may be no end
    except OSError:
        return False
