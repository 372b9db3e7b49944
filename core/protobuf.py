"""Messages of Protocol Buffers, walked without their schema: every long value has its length in front.

Several kinds of model files are such messages, and what they hold is wanted before a runtime is loaded: names, shapes,
metadata. Long values (weights) are stepped over, and a file that is cut off is told. Numbers of fields are in the
`.proto` files of each format. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field

Content = bytes | memoryview | mmap.mmap
"""What a message is read from; slices of the last two kinds are made when they are asked for."""

_WIDTHS = {1: 8, 5: 4}
"""Wire type → bytes of a value of fixed width."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: a number, or bytes, which may be a message of their own: iterate over its fields.

    Attributes:
        number: of the field, as its schema has it.
        value: the number (a varint, without a sign); None where it is bytes.
        start, stop: place of its bytes in the outermost content; those of a number are its varint.
    """

    number: int
    value: int | None
    content: Content = field(repr=False, compare=False)
    start: int
    stop: int

    @property
    def data(self) -> bytes | memoryview:
        """The bytes; no copy where the content is a `memoryview` or was given as `bytes`."""
        return self.content[self.start : self.stop]

    @property
    def text(self) -> str:
        """The bytes as a text.

        Raises:
            ValueError: they are none.
        """
        return str(self.data, "utf-8")

    @property
    def whole(self) -> int:
        """The number, 0 for bytes: for fields that a damaged file may hold in the wrong kind."""
        return self.value or 0

    def __iter__(self) -> Iterator[Field]:
        """The fields of the message that the bytes are.

        Raises:
            ValueError: they are no message.
        """
        return fields(self.content, self.start, self.stop)

    def integers(self) -> Iterator[int]:
        """Numbers of a repeated field, with their sign: one a field, or several packed into one.

        Raises:
            ValueError: the bytes are no numbers.
        """
        at = self.start
        while at < self.stop:
            value, at = _varint(self.content, at, self.stop)
            yield signed(value)


def fields(content: Content, start: int = 0, stop: int | None = None) -> Iterator[Field]:
    """The fields of the message in content[start:stop].

    Raises:
        ValueError: it is no message, or its end is missing; the text says at which byte.
    """
    if isinstance(content, bytes):
        content = memoryview(content)
    at, end = start, len(content) if stop is None else stop
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire_type, value = tag >> 3, tag & 7, None
        begun = at
        if wire_type == 0:
            value, at = _varint(content, at, end)
        elif wire_type == 2:
            length, begun = _varint(content, at, end)
            at = begun + length
        elif wire_type in _WIDTHS:
            at += _WIDTHS[wire_type]
        else:
            raise ValueError(f"byte {at} belongs to no field")
        if not number:
            raise ValueError(f"byte {at} belongs to no field")
        if at > end:
            raise ValueError(f"byte {at} is announced, but it ends at {end} (an interrupted download?)")
        yield Field(number, value, content, begun, at)


def signed(value: int) -> int:
    """A varint as the two's complement of 64 bits that it may be."""
    return value - (1 << 64) if value >> 63 else value


def _varint(content: Content, at: int, end: int) -> tuple[int, int]:
    """(value, place behind it) of a number of 7 bits a byte, lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError(f"it breaks off at byte {end}")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError(f"byte {at} belongs to no number")
