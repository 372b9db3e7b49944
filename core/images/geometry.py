"""Letterbox geometry: where a picture lies inside the network's input, used in both directions.

One object answers every question about the mapping, so resizing, boxes and masks can never disagree about a rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.images.size import Size, round_up

PAD_VALUE = 114
"""Grey level of the border, the value the published weights were trained with."""


@dataclass(frozen=True)
class Letterbox:
    """A picture scaled with one gain, centred in a target and framed with grey.

    All sizes are (height, width). `resized` is the picture inside the target; `top` and `left` are the border in
    whole pixels.
    """

    source: Size
    target: Size
    resized: Size
    top: int
    left: int

    @classmethod
    def fit(cls, source: Size, target: Size, *, minimal: bool = False) -> Letterbox:
        """The letterbox of a picture of size `source` in an input of size `target`.

        With `minimal` the target shrinks to the smallest multiples of the stride that hold the resized picture
        (the "rect" policy). Rounding is Python's, each side at least one pixel.
        """
        gain = min(target[0] / source[0], target[1] / source[1])
        resized = max(round(source[0] * gain), 1), max(round(source[1] * gain), 1)
        if minimal:
            target = min(round_up(resized[0]), target[0]), min(round_up(resized[1]), target[1])
        spare_y, spare_x = target[0] - resized[0], target[1] - resized[1]
        # An odd pixel of border goes to the bottom and the right.
        return cls(source, target, resized, spare_y // 2, spare_x // 2)

    @classmethod
    def padded(cls, source: Size, side: int, target: Size) -> Letterbox:
        """The letterbox of a picture whose long side becomes `side`, the other rounded up, in the middle of `target`.

        However much room there is, the picture is not made larger: pictures of several shapes that share one input are
        seen at one scale.

        Raises:
            ValueError: it does not fit.
        """
        gain = side / max(source)
        resized = min(ceil(source[0] * gain), side), min(ceil(source[1] * gain), side)
        spare_y, spare_x = target[0] - resized[0], target[1] - resized[1]
        if min(spare_y, spare_x) < 0:
            raise ValueError(f"{resized} does not fit into {target}")
        return cls(source, target, resized, spare_y // 2, spare_x // 2)

    @classmethod
    def identity(cls, size: Size) -> Letterbox:
        """For pictures that already are network input."""
        return cls(size, size, size, 0, 0)

    @property
    def bottom(self) -> int:
        """Border below the picture, in target pixels."""
        return self.target[0] - self.resized[0] - self.top

    @property
    def right(self) -> int:
        """Border to the right of the picture, in target pixels."""
        return self.target[1] - self.resized[1] - self.left

    @property
    def scale(self) -> tuple[float, float]:
        """(y, x): target pixels per source pixel, per axis because each side was rounded by itself."""
        return self.resized[0] / self.source[0], self.resized[1] / self.source[1]

    def to_target(self, xyxy: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Boxes (..., 4) from source pixels to target pixels."""
        sy, sx = self.scale
        out: NDArray[np.float32] = (xyxy * np.array([sx, sy, sx, sy]) + self._offset()).astype(np.float32)
        return out

    def to_source(self, xyxy: NDArray[np.floating[Any]], *, clip: bool = True) -> NDArray[np.float32]:
        """Boxes (..., 4) or points (..., 2) from target to source pixels, clipped to the picture unless told not to."""
        sides = xyxy.shape[-1]
        sy, sx = self.scale
        scaled = (xyxy - self._offset()[:sides]) / np.array([sx, sy, sx, sy][:sides])
        out: NDArray[np.float32] = scaled.astype(np.float32)
        if clip:
            height, width = self.source
            np.clip(out, 0, np.array([width, height, width, height][:sides], np.float32), out=out)
        return out

    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, self.left, self.top], np.float64)
