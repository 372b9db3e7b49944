"""Measuring many pictures, with a bar where that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.header import size_of
from segkit.core.errors import SourceError
from segkit.core.notices import progress

CHUNK = 512
"""Pictures that are read before what was found is looked at."""

_LONG = 20_000
"""Pictures from which on it takes so long that people want to know how far it is: some seconds."""

_Found = TypeVar("_Found")


def read_all(read: Callable[[Path], _Found], pictures: Sequence[Path]) -> Iterator[list[_Found]]:
    """What `read` says of pictures, in order, `CHUNK` at a time.

    One after the other: headers are so short that threads would only wait for the interpreter.
    """
    long = len(pictures) >= _LONG
    with progress("Reading labels", len(pictures), unit="pictures") if long else nullcontext(_silent) as advance:
        for start in range(0, len(pictures), CHUNK):
            chunk = pictures[start : start + CHUNK]
            yield [read(picture) for picture in chunk]
            advance(len(chunk))


def measure(picture: Path) -> tuple[int, int] | Problem:
    """Height and width of a picture, or why it cannot be used."""
    try:
        return size_of(picture)
    except SourceError as error:
        kind = Kind.CORRUPT_PICTURE if picture.exists() else Kind.MISSING_PICTURE
        return Problem(kind, picture, error.problem, dropped=True)


def _silent(count: int) -> None:
    """Nobody needs to know."""
