"""The screen as a live source, through the package mss where it is installed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.core.errors import MissingDependencyError, SourceError
from segkit.core.images.items import Content, Contents, Context, Entry, Frame

if TYPE_CHECKING:
    from mss import MSS

_USAGE = "give 'screen', 'screen NUMBER' or 'screen NUMBER LEFT TOP WIDTH HEIGHT' (number 0: all screens as one)"


def screen(source: Any, context: Context) -> Sequence[Entry] | None:
    """`screen [number [left top width height]]`: number 0 (as without one) is all screens as one, 1 the first.

    `left` and `top` count from that screen's corner. A file or folder called "screen" comes first. Each picture is
    taken when it is asked for, so that `vid_stride` and `stream_buffer` mean nothing here.
    """
    if not isinstance(source, str) or not means_screen(source) or Path(source).exists():
        return None
    numbers = source.split()[1:]
    if len(numbers) not in (0, 1, 5) or any(number.startswith("-") for number in numbers):
        raise SourceError(source, _USAGE)
    label = " ".join(["screen", *numbers])
    return [Entry(partial(_contents, [int(number) for number in numbers], label), label, lambda: None, live=True)]


def means_screen(text: str) -> bool:
    """Whether a source is written like a screen; "screen shots/*.png" is not."""
    return bool(re.fullmatch(r"\s*screen(\s+-?\d+)*\s*", text, re.ASCII))


def _contents(numbers: list[int], label: str) -> Contents:
    try:
        from mss import MSS, ScreenShotError
    except ImportError:
        raise MissingDependencyError(["segkit[screen]"], "The screen as a source") from None
    try:
        with MSS() as screens:
            area = _area(screens, numbers, label)
            number = 0
            while True:
                pixels = np.asarray(screens.grab(area))  # (H, W, 4) BGRA
                number += 1
                yield Content(np.ascontiguousarray(pixels[..., :3]), frame=Frame(number, live=True))
    except ScreenShotError as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise SourceError(label, f"there is no screen here that can be read ({words})") from error


def _area(screens: MSS, numbers: list[int], label: str) -> dict[str, int]:
    """The part of all screens that is asked for: left, top, width, height in pixels."""
    number, *part = numbers or [0]
    if number >= len(screens.monitors):
        raise SourceError(label, f"this machine has {len(screens.monitors) - 1} screen(s), numbered from 1")
    whole = screens.monitors[number]
    if not part:
        return {side: whole[side] for side in ("left", "top", "width", "height")}
    left, top, width, height = part
    if not width or not height or left + width > whole["width"] or top + height > whole["height"]:
        raise SourceError(label, f"that part is not inside the screen of {whole['width']}x{whole['height']} pixels")
    return {"left": whole["left"] + left, "top": whole["top"] + top, "width": width, "height": height}
