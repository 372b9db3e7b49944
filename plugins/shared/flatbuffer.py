"""FlatBuffers, read without a schema: tables with their fields by number, vectors and texts.

Everything is reached by offsets, which in a damaged file lead anywhere: what is read must lie inside the file. In a
hostile one many lead to the same place: all that is gone through must not be much longer than the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

Content = bytes | memoryview

LONGEST = 1 << 24
"""Entries of a vector that is gone through one by one."""


_OFTEN = 4
"""How often each byte of a file may be gone through, as a list or a text."""


class _Budget:
    """Bytes that may still be gone through."""

    def __init__(self, content: Content) -> None:
        self.left = _OFTEN * len(content)

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ValueError("its lists lead to the same places again and again: hostile?")


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `place` is where it begins, with how far before it its list of fields is."""

    content: Content
    place: int
    budget: _Budget = field(repr=False, compare=False)

    @classmethod
    def root(cls, content: Content) -> Table:
        """The outermost one.

        Raises:
            ValueError: the file is too short.
        """
        return cls(content, _number("<I", content, 0), _Budget(content))

    def number(self, field: int, kind: str = "<i", default: int = 0) -> int:
        """A scalar; `kind` as `struct` writes it."""
        at = self._at(field)
        return _number(kind, self.content, at) if at else default

    def table(self, field: int) -> Table | None:
        """A table, None where the field is not there."""
        at = self._at(field)
        return self._table(at) if at else None

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        return [self._table(at) for at in self._vector(field, 4)]

    def numbers(self, field: int, kind: str = "<i") -> list[int]:
        """A vector of scalars."""
        return [_number(kind, self.content, at) for at in self._vector(field, struct.calcsize(kind))]

    def places(self, field: int) -> list[int]:
        """Where the entries of a vector lie, of tables or of numbers of four bytes."""
        return list(self._vector(field, 4))

    def vector(self, field: int) -> int:
        """Place of a vector, where its length is; 0 where the field is not there."""
        at = self._at(field)
        return at + _number("<I", self.content, at) if at else 0

    def length(self, field: int) -> int:
        """Bytes of a vector of them, which need not be gone through."""
        start = self.vector(field)
        if not start:
            return 0
        count = _number("<I", self.content, start)
        if start + 4 + count > len(self.content):
            raise ValueError(f"{count} bytes from byte {start} on reach behind its end at {len(self.content)}")
        return count

    def stored(self, field: int) -> memoryview:
        """A vector of bytes: a part of the content, no copy."""
        length = self.length(field)
        start = self.vector(field) + 4
        return memoryview(self.content)[start : start + length] if length else memoryview(b"")

    def text(self, field: int) -> str:
        """A text; empty where the field is not there."""
        start = self.vector(field)
        if not start:
            return ""
        length = _number("<I", self.content, start)
        if start + 4 + length > len(self.content):
            raise ValueError(f"a text should end at byte {start + 4 + length}, behind the end")
        self.budget.spend(length)
        return str(bytes(self.content[start + 4 : start + 4 + length]), "utf-8")

    def _table(self, at: int) -> Table:
        return Table(self.content, at + _number("<I", self.content, at), self.budget)

    def _at(self, field: int) -> int:
        """Place of a field, 0 where it is not there."""
        fields = self.place - _number("<i", self.content, self.place)
        entry = 4 + 2 * field
        if entry + 2 > _number("<H", self.content, fields):
            return 0
        offset = _number("<H", self.content, fields + entry)
        return self.place + offset if offset else 0

    def _vector(self, field: int, width: int) -> Iterator[int]:
        start = self.vector(field)
        if not start:
            return
        count = _number("<I", self.content, start)
        if count > LONGEST or start + 4 + count * width > len(self.content):
            raise ValueError(f"a list at byte {start} of {count} entries reaches behind the end")
        self.budget.spend(count * width)
        yield from range(start + 4, start + 4 + count * width, width)


def _number(kind: str, content: Content, at: int) -> int:
    if at < 0:
        raise ValueError("something lies before its beginning")
    try:
        (value,) = struct.unpack_from(kind, content, at)
    except struct.error:
        raise ValueError(f"something lies at byte {at}, behind its end at {len(content)}") from None
    return int(value)
