"""Pictures at an http(s) address: one request, bounded in time and size, never when SEGKIT_OFFLINE=1."""

from __future__ import annotations

from segkit.core.errors import SourceError
from segkit.core.files import file_name_of
from segkit.core.http import AddressError, is_address, name_in, opened

__all__ = ["LIMIT", "fetch", "is_address", "name_of"]

LIMIT = 256 << 20
"""Bytes; no picture file is larger."""


def name_of(address: str) -> str:
    """The file name in an address, for results: 'https://host/a/bus.jpg?x=1' → 'bus.jpg'.

    What is written is called after it: it leads nowhere else, whatever the address has escaped in it.
    """
    return file_name_of(name_in(address) or "image.jpg")


def fetch(address: str) -> bytes:
    """The bytes at an http(s) address.

    Raises:
        SourceError: offline by wish, no answer in time, an error status, a web page, or too many bytes.
    """
    pieces: list[bytes] = []
    try:
        with opened(address, {"Accept": "image/*,*/*;q=0.5"}) as answer:
            if answer.is_page():
                raise SourceError(address, "the answer is a web page, not a picture")
            size = 0
            while piece := answer.read(1 << 20):
                pieces.append(piece)
                size += len(piece)
                if size > LIMIT:
                    raise SourceError(address, f"it holds more than {LIMIT >> 20} MB")
    except AddressError as error:
        raise SourceError(address, error.problem) from error
    return b"".join(pieces)
