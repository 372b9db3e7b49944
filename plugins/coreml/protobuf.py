"""Protobuf messages, walked without a schema: every long value has its length in front, so it can be stepped over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Part:
    """One field of a message: a number, or bytes."""

    number: int
    value: int
    data: memoryview

    def text(self) -> str:
        """The bytes as a text.

        Raises:
            ValueError: they are none.
        """
        return str(self.data, "utf-8")

    def __iter__(self) -> Iterator[Part]:
        """The fields of the message that the bytes are."""
        return fields(self.data)


NOTHING = memoryview(b"")


def fields(data: memoryview) -> Iterator[Part]:
    """The fields of a message.

    Raises:
        ValueError: it is no message, or its end is missing.
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = varint(data, at)
            part = Part(number, value, NOTHING)
        else:
            length = {1: 8, 5: 4}.get(kind)
            if kind == 2:
                length, at = varint(data, at)
            if length is None:
                raise ValueError(f"byte {at} belongs to no field")
            part = Part(number, 0, data[at : at + length])
            at += length
        if number == 0:
            raise ValueError(f"byte {at} belongs to no field")
        if at > end:
            raise ValueError(f"byte {at} is announced, but it ends at {end} (an interrupted download?)")
        yield part


def varint(data: memoryview, at: int) -> tuple[int, int]:
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


def signed(value: int) -> int:
    """A varint as the two's complement of 64 bits that it may be."""
    return value - (1 << 64) if value >> 63 else value


def integers(part: Part) -> list[int]:
    """A repeated whole number: one a field, or several packed into one."""
    if not part.data:
        return [signed(part.value)]
    found, at = [], 0
    while at < len(part.data):
        value, at = varint(part.data, at)
        found.append(signed(value))
    return found
