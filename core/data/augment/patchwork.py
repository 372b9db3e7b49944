"""Pictures laid out on grey, drawn only where somebody looks: a mosaic is much larger than what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from segkit.core.images.batch import Picture
from segkit.core.images.geometry import PAD_VALUE
from segkit.core.images.size import Size


class Patch(NamedTuple):
    """A picture (h, w, 3) whose first pixel lies at `left`, `top`, which may be outside."""

    picture: Picture
    left: int
    top: int


@dataclass(frozen=True, eq=False)
class Patchwork:
    """A picture of `size` (height, width) that is not drawn yet: patches beside each other, grey elsewhere."""

    size: Size
    patches: tuple[Patch, ...]

    def drawn(self) -> Picture:
        """All of it: (H, W, 3) BGR uint8."""
        return _drawn(self.size, self.patches, 0, 0, self.size, 3)

    def seen(self, left: int, top: int, size: Size) -> Picture:
        """A part of `size` (height, width) that may reach beyond the frame, with a fourth channel of no meaning.

        OpenCV warps four channels in half the time that it takes for three.
        """
        return _drawn(self.size, self.patches, left, top, size, 4)


def seen(picture: Picture | Patchwork, left: int, top: int, size: Size) -> Picture:
    """The same of a picture (H, W, 3) that is drawn already."""
    if isinstance(picture, Patchwork):
        return picture.seen(left, top, size)
    height, width = picture.shape[:2]
    if left >= 0 and top >= 0 and left + size[1] <= width and top + size[0] <= height:
        part = picture[top : top + size[0], left : left + size[1]]
        return np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2BGRA), np.uint8)
    return _drawn((height, width), (Patch(picture, 0, 0),), left, top, size, 4)


def _drawn(frame: Size, patches: tuple[Patch, ...], left: int, top: int, size: Size, channels: int) -> Picture:
    """A part of a frame: of its patches what lies in both."""
    board = np.full((*size, channels), PAD_VALUE, np.uint8)
    right, bottom = min(left + size[1], frame[1]), min(top + size[0], frame[0])
    for picture, x, y in patches:
        x1, y1 = max(x, left, 0), max(y, top, 0)
        x2, y2 = min(x + picture.shape[1], right), min(y + picture.shape[0], bottom)
        if x2 <= x1 or y2 <= y1:
            continue
        place = board[y1 - top : y2 - top, x1 - left : x2 - left]
        part = picture[y1 - y : y2 - y, x1 - x : x2 - x]
        if channels == 3:
            place[:] = part
        else:
            cv2.cvtColor(part, cv2.COLOR_BGR2BGRA, dst=place)
    return board
