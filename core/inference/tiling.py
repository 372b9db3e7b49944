"""Where to look: windows that cover a large picture, and the copies of each that test-time augmentation adds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images import PAD_VALUE, Letterbox, Picture, Size
from segkit.core.inference._resample import Window

VARIANTS = ((1.0, False), (0.83, True), (0.67, False))
"""Scale and mirroring of the copies that augmentation looks at: the sizes customary for this family of networks."""


@dataclass(frozen=True, slots=True)
class View:
    """A window of the picture as the network is to see it: in its own size or smaller, perhaps mirrored."""

    window: Window
    scale: float = 1.0
    mirrored: bool = False

    @property
    def size(self) -> Size:
        """(height, width) of the window in picture pixels."""
        return self.window.bottom - self.window.top, self.window.right - self.window.left

    @property
    def is_plain(self) -> bool:
        """Whether the network sees the window as it is."""
        return self.scale == 1 and not self.mirrored

    def letterbox(self, target: Size, *, minimal: bool) -> Letterbox:
        """Where the window lies in an input of `target`. A smaller view has a wider border: the input keeps its size,
        which many files fix.
        """
        full = Letterbox.fit(self.size, target, minimal=minimal)
        if self.scale == 1:
            return full
        height, width = (max(round(side * self.scale), 1) for side in full.resized)
        top, left = (full.target[0] - height) // 2, (full.target[1] - width) // 2
        return Letterbox(self.size, full.target, (height, width), top, left)

    def pixels(self, picture: Picture, letterbox: Letterbox) -> Picture:
        """The part of `picture` to give to the network: the bare window, or a finished input where it is changed."""
        part = picture[self.window.top : self.window.bottom, self.window.left : self.window.right]
        if self.is_plain:
            return part
        height, width = letterbox.resized
        small = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        small = cv2.flip(small, 1) if self.mirrored else small
        border = (letterbox.top, letterbox.bottom, letterbox.left, letterbox.right)
        framed = cv2.copyMakeBorder(small, *border, cv2.BORDER_CONSTANT, value=(PAD_VALUE,) * 3)
        return framed.astype(np.uint8, copy=False)

    def to_picture(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (N, 4) from pixels of the view to pixels of the picture."""
        if self.mirrored:
            xyxy = np.column_stack([self.size[1] - xyxy[:, 2], xyxy[:, 1], self.size[1] - xyxy[:, 0], xyxy[:, 3]])
        top, left = self.window[:2]
        return xyxy + np.array([left, top, left, top], np.float32)


def fits(size: Size, tile: Size) -> bool:
    """Whether a picture is not larger than one tile."""
    return size[0] <= tile[0] and size[1] <= tile[1]


def tiles(size: Size, tile: Size, overlap: float) -> list[Window]:
    """Windows of `tile` that cover a picture of `size` exactly, row by row, evenly spread.

    Neighbours share at least `overlap` (0 to below 1) of a tile's side. A side shorter than the tile is taken whole.
    """
    rows, columns = (_spread(*sides, overlap) for sides in zip(size, tile, strict=True))
    return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _spread(length: int, tile: int, overlap: float) -> list[tuple[int, int]]:
    """Start and stop of each tile along one side."""
    spare = length - tile
    if spare <= 0:
        return [(0, length)]
    step = max(int(tile * (1 - overlap)), 1)
    gaps = -(-spare // step)
    return [(start, start + tile) for start in (index * spare // gaps for index in range(gaps + 1))]
