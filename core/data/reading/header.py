"""The size of a picture from its header alone, and whether its file looks whole, without decoding a pixel."""

from __future__ import annotations

import os
import stat
import struct
import warnings
from pathlib import Path

from segkit.core.errors import SourceError
from segkit.core.images.orientation import orientation
from segkit.core.images.reading import MAX_PIXELS, read_picture

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""A pipe would wait for ever for somebody who writes."""

_HEAD, _LONG_HEAD = 1 << 12, 1 << 18
"""Bytes at the beginning in which most headers are, and nearly all."""

_TAIL = 1 << 12
"""Bytes at the end in which the end mark of a file is looked for: some programs write something behind it."""

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
"""First bytes of JPEG and PNG files, and what is near the end of whole ones."""

_FRAMES = (0xC0, 0xC1, 0xC2)
"""JPEG markers (ITU T.81, B.1.1.3) of the segment that tells the size, of those kinds that are decoded here."""

_PASSED = frozenset({0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE})
"""Markers of the tables, notes and comments that may come before it."""

_EXIF, _FILL = 0xE1, 0xFF
_SIDEWAYS = (5, 6, 7, 8)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of a picture in pixels as it is shown, EXIF rotation applied.

    A file that this cannot be told of, or that looks cut off, is decoded in full to be sure.

    Raises:
        SourceError: as `segkit.core.images.reading.read_picture`.
    """
    found = _header(path)
    if found is None:
        found = read_picture(path).shape[:2]
    return found


def _header(path: Path) -> tuple[int, int] | None:
    """None where only decoding will tell."""
    try:
        file = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SourceError(path, "it is no file")
        head = os.read(file, _HEAD)
        png = head.startswith(_PNG_START)
        if not png and not head.startswith(_START):
            return _by_pillow(path)
        end = os.lseek(file, 0, os.SEEK_END)
        os.lseek(file, max(end - _TAIL, 0), os.SEEK_SET)
        if (_PNG_END if png else _END) not in os.read(file, _TAIL):
            return None
        if png:
            return _by_pillow(path)
        size = _of_jpeg(head)
        if size is None:
            os.lseek(file, 0, os.SEEK_SET)
            size = _of_jpeg(os.read(file, _LONG_HEAD))
        return size or _by_pillow(path)
    except OSError:
        return None
    finally:
        os.close(file)


def _of_jpeg(head: bytes) -> tuple[int, int] | None:
    """None where the head does not reach so far, or says something unusual."""
    place, exif = 2, None
    try:
        while True:
            sign, marker, length = struct.unpack_from(">BBH", head, place)
            end = place + 2 + length
            if sign == marker == _FILL:
                place += 1
                continue
            if sign != 0xFF or end > len(head):
                return None
            if marker in _FRAMES:
                bits, height, width = struct.unpack_from(">BHH", head, place + 4)
                return _shown(height, width, exif) if bits == 8 else None
            if marker not in _PASSED:
                return None
            if marker == _EXIF and exif is None and head.startswith(b"Exif\0\0", place + 4):
                exif = head[place + 4 : end]
            place = end
    except struct.error:
        return None


def _by_pillow(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return _shown(image.height, image.width, image.info.get("exif"))
    except Exception:  # hostile bytes make decoders raise anything
        return None


def _shown(height: int, width: int, exif: object) -> tuple[int, int] | None:
    if not 0 < height * width <= MAX_PIXELS:
        return None
    return (width, height) if orientation(exif) in _SIDEWAYS else (height, width)
