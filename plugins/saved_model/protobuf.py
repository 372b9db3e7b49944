"""Protobuf messages, walked without a schema: every long value has its length in front, so it can be stepped over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Content = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: a number, or bytes.

    Attributes:
        number: of the field.
        value: the number; None where it is bytes.
        data: the bytes.
    """

    number: int
    value: int | None
    data: memoryview

    @property
    def text(self) -> str:
        """The bytes as a text.

        Raises:
            ValueError: they are none.
        """
        return str(self.data, "utf-8")

    def __iter__(self) -> Iterator[Field]:
        """The fields of the message that the bytes are."""
        return fields(self.data)


_NOTHING = memoryview(b"")


def fields(content: Content) -> Iterator[Field]:
    """The fields of a message.

    Raises:
        ValueError: it is no message, or its end is missing.
    """
    data = memoryview(content)
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError(f"byte {at} belongs to no field")
        if kind == 0:
            value, at = _varint(data, at)
            yield Field(number, value, _NOTHING)
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(data, at)
        if length is None:
            raise ValueError(f"byte {at} belongs to no field")
        if at + length > end:
            raise ValueError(f"byte {at + length} is announced, but it ends at {end} (an interrupted copy?)")
        yield Field(number, None, data[at : at + length])
        at += length


def signed(value: int) -> int:
    """A varint as the two's complement of 64 bits that it may be."""
    return value - (1 << 64) if value >> 63 else value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, place behind it) of a number of 7 bits a byte, lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError(f"it breaks off at byte {len(data)}")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError(f"byte {at} belongs to no number")
