"""Text as small pictures, in any script that some font here covers; Pillow, which draws it, is loaded at the first."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from segkit.core.images import Picture
from segkit.core.ink.colors import Color, ink_on
from segkit.core.ink.fonts import preferred, readable, runs
from segkit.core.notices import notice

if TYPE_CHECKING:
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont

# Scripts whose letters join, reorder or run from right to left: Hebrew to Arabic, India's, Thai to Myanmar, Khmer.
_SHAPED = ((0x0590, 0x08FF), (0x0900, 0x0DFF), (0x0E00, 0x109F), (0x1780, 0x17FF))


@lru_cache(maxsize=512)
def label(text: str, size: int, paper: Color, font: str | None = None) -> Picture:
    """`text` in one line on a background: (h, w, 3) BGR uint8, not to be written to.

    Args:
        text: what some font covers (see `fonts.readable`); characters without a glyph are left out.
        size: font size in pixels.
        paper: background; the text is black or white, whichever reads better on it.
        font: font file to prefer.
    """
    from PIL import Image, ImageDraw

    covered = runs(text, font) or runs("".join(c for c in text if c.isascii() and c.isprintable()), None) or ()
    parts = [(_font(face, size), part) for face, part in covered]
    metrics = [face.getmetrics() for face, _ in parts] or [(size, 0)]
    ascent, descent = (max(values) for values in zip(*metrics, strict=True))
    margin = max(round(size * 0.25), 1)
    _check_shaping(text)
    width = math.ceil(sum(face.getlength(part) for face, part in parts))
    image = Image.new("RGB", (width + 2 * margin, ascent + descent + 2 * (margin // 3)), paper[::-1])
    pen, left = ImageDraw.Draw(image), float(margin)
    for face, part in parts:
        pen.text((left, ascent + margin // 3), part, font=face, fill=ink_on(paper)[::-1], anchor="ls")
        left += face.getlength(part)
    drawn = np.ascontiguousarray(np.asarray(image)[..., ::-1])
    drawn.flags.writeable = False  # shared by every picture with this label
    return drawn


def tag(name: str, stand_in: str, size: int, paper: Color) -> Picture:
    """As `label`, in the font that the user prefers; `stand_in` where no font has the letters of `name`."""
    font = preferred(None)
    return label(readable(name, stand_in, font), size, paper, font)


@lru_cache(maxsize=64)
def _font(face: str | None, size: int) -> Font:
    from PIL import ImageFont

    if face is not None:
        return ImageFont.truetype(face, size)
    carried = ImageFont.load_default(size)
    assert isinstance(carried, ImageFont.FreeTypeFont)
    return carried


def _check_shaping(text: str) -> None:
    if any(low <= ord(c) <= high for c in text for low, high in _SHAPED):
        _tell_if_unshaped()


@lru_cache(maxsize=1)
def _tell_if_unshaped() -> None:
    from PIL import features

    if not features.check("raqm"):
        notice("Pillow was built without Raqm here: letters that should join or reorder are drawn one by one.")
