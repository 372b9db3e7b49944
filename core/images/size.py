"""Sizes of the network's input, as users write them. Needs neither numpy nor OpenCV."""

from __future__ import annotations

from typing import Any

from segkit.core.errors import OptionError

STRIDE = 32
"""The coarsest stride of the network: both sides of its input are multiples of it."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def round_up(side: int, multiple: int = STRIDE) -> int:
    """The smallest multiple of `multiple` that is not below `side`."""
    return -(-side // multiple) * multiple


def parse_imgsz(value: object, option: str = "imgsz") -> Size:
    """(height, width) from what users write: 640, "640", (480, 640), "480,640", "480x640"; `option` is for messages.

    Raises:
        OptionError: not one or two whole numbers, or a side below 1.
    """
    items: list[Any]
    if isinstance(value, str):
        items = [part for part in value.strip(" ()[]").replace("x", ",").replace(" ", ",").split(",") if part]
    elif isinstance(value, list | tuple):
        items = list(value)
    else:
        items = [value]
    try:
        sides = [int(str(item)) for item in items]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise OptionError.invalid(option, value, "give one whole number, or height and width, e.g. 640 or 480,640")
    if min(sides) < 1:
        raise OptionError.invalid(option, value, "a side must be at least 1 (a multiple of 32 is best)")
    if max(sides) > 32768:
        raise OptionError.invalid(option, value, "a side of more than 32768 pixels is not supported")
    return sides[0], sides[-1]
