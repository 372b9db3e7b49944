"""Which characters a font can draw, read from its `cmap` table (OpenType specification, ISO/IEC 14496-22).

Drawing libraries do not say it: they draw a box for a character that is missing. Only the tables needed are read, so
that a whole system's fonts can be asked in moments.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

Coverage = Callable[[int], bool]
"""Whether a code point has a glyph."""

_OUTLINES = {b"glyf", b"CFF ", b"CFF2"}
# Joiners, direction marks and variation selectors: they shape their neighbours and have no picture of their own.
_INVISIBLE = {
    0x00AD,
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    0xFEFF,
}


def missing_in(path: str, characters: Iterable[str]) -> set[str]:
    """Those of `characters` that the font has no glyph for; all of them where it is no usable font."""
    has = coverage(path)
    return {c for c in characters if ord(c) not in _INVISIBLE and not c.isspace() and not has(ord(c))}


@lru_cache(maxsize=4096)
def coverage(path: str) -> Coverage:
    """The coverage of a font file (the first face of a collection); of nothing if it is damaged or has no outlines."""
    try:
        with Path(path).open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError, IndexError):
        return _nothing


def _nothing(_: int) -> bool:
    return False


def _read(file: BinaryIO) -> Coverage:
    start = 0
    if file.read(4) == b"ttcf":
        file.seek(12)
        (start,) = struct.unpack(">I", file.read(4))
    file.seek(start + 4)
    (count,) = struct.unpack(">H6x", file.read(8))
    tables = {}
    for _ in range(count):
        tag, offset, length = struct.unpack(">4s4xII", file.read(16))
        tables[tag] = (offset, length)
    if not _OUTLINES & tables.keys() or b"cmap" not in tables:
        return _nothing  # pictures of one size, as in colour emoji fonts, cannot be scaled
    offset, length = tables[b"cmap"]
    file.seek(offset)
    return _unicode_map(file.read(length))


def _unicode_map(cmap: bytes) -> Coverage:
    """The widest Unicode subtable: format 12 (all planes) before format 4 (the first plane)."""
    (count,) = struct.unpack_from(">2xH", cmap)
    found = {}
    for record in range(count):
        platform, encoding, offset = struct.unpack_from(">HHI", cmap, 4 + 8 * record)
        if platform == 0 or (platform == 3 and encoding in (1, 10)):
            (kind,) = struct.unpack_from(">H", cmap, offset)
            found[kind] = offset
    if 12 in found:
        return _segmented_coverage(cmap, found[12])
    return _segment_mapping(cmap, found[4]) if 4 in found else _nothing


def _segmented_coverage(cmap: bytes, offset: int) -> Coverage:
    """Format 12: groups of (first, last, glyph of the first)."""
    (count,) = struct.unpack_from(">I", cmap, offset + 12)
    numbers: tuple[int, ...] = struct.unpack_from(f">{3 * count}I", cmap, offset + 16)
    firsts, lasts = numbers[0::3], numbers[1::3]

    def has(code: int) -> bool:
        at = bisect_left(lasts, code)
        return at < count and firsts[at] <= code

    return has


def _segment_mapping(cmap: bytes, offset: int) -> Coverage:
    """Format 4: segments with a shift of the glyph number, or an offset into an array of glyph numbers."""
    (count,) = struct.unpack_from(">H", cmap, offset + 6)
    count //= 2
    rest = offset + 16 + 2 * count  # a reserved number lies between
    places = rest + 4 * count
    starts = (offset + 14, rest, rest + 2 * count, places)
    columns: list[tuple[int, ...]] = [struct.unpack_from(f">{count}H", cmap, start) for start in starts]
    lasts, firsts, shifts, ranges = columns

    def has(code: int) -> bool:
        at = bisect_left(lasts, code)
        if at >= count or firsts[at] > code:
            return False
        if not ranges[at]:
            return (code + shifts[at]) & 0xFFFF != 0
        place = places + 2 * at + ranges[at] + 2 * (code - firsts[at])
        return cmap[place : place + 2].strip(b"\0") != b""

    return has
