"""How large a tensor is, by what a file says: in a damaged one that may be anything."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_SIDES = 64
_MOST_NUMBERS = 1 << 40


def volume(sides: Iterable[int]) -> int:
    """How many numbers a tensor has.

    Raises:
        ValueError: no tensor is like that.
    """
    numbers = 1
    for place, side in enumerate(sides):
        numbers *= side
        if place >= _MOST_SIDES or not 0 <= numbers <= _MOST_NUMBERS:
            raise ValueError("it has a tensor that is larger than any")
    return numbers
