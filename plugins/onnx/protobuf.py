"""Protobuf messages, walked without a schema: every long value has its length in front, so it can be stepped over."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple


class Field(NamedTuple):
    """One field of a message: a number, or the place [start, stop) of its bytes."""

    number: int
    value: int
    start: int
    stop: int


def inside(data: mmap.mmap, field: Field) -> Iterator[Field]:
    """The fields of the message that `field` is."""
    return fields(data, field.start, field.stop)


def fields(data: mmap.mmap, at: int, end: int) -> Iterator[Field]:
    """The fields of the message in data[at:end].

    Raises:
        ValueError: it is no message, or its end is missing.
    """
    while at < end:
        tag, at = varint(data, at, end)
        number, wire_type = tag >> 3, tag & 7
        value = 0
        if wire_type == 0:
            start = at
            value, at = varint(data, at, end)
        elif wire_type in (1, 5):
            start, at = at, at + (8 if wire_type == 1 else 4)
        elif wire_type == 2:
            length, start = varint(data, at, end)
            at = start + length
        else:
            raise ValueError(f"byte {at} belongs to no field")
        if number == 0:
            raise ValueError(f"byte {at} belongs to no field")
        if at > end:
            raise ValueError(f"byte {at} is announced, but it ends at {end} (an interrupted download?)")
        yield Field(number, value, start, at)


def varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """(value, place behind it) of a number of 7 bits a byte, lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError(f"it breaks off at byte {end}")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError(f"byte {at} belongs to no number")
