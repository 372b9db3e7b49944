"""The entry of a zip archive behind a network, which holds what the file says about itself. It may be hostile."""

from __future__ import annotations

import zipfile
import zlib

LARGEST = 1 << 20
"""Bytes of it."""

_PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How it may be packed: as every tool does; others unpack to more than was asked for."""


class TooLongError(ValueError):
    """It is longer than anything a file says about itself."""


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """The text of an entry; no more of it is unpacked than `LARGEST`, whatever length is told.

    Raises:
        TooLongError: it is longer.
        ValueError: it is damaged, or packed in another way.
        OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile: as the library has it.
    """
    if entry.file_size > LARGEST:
        raise TooLongError
    if entry.compress_type not in _PLAIN:
        raise ValueError("they are packed in a way that no tool uses")
    try:
        with archive.open(entry) as stream:
            content = stream.read(LARGEST + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > LARGEST:
        raise TooLongError
    return content.decode()
