"""Colour: hue, saturation and brightness changed by tables, and the order of the channels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.images.batch import Picture

_HUES = 180
"""OpenCV keeps half degrees of the colour circle in a byte."""


@dataclass(frozen=True)
class Tone:
    """A shift of the hue as a share of the circle, and factors of saturation and brightness."""

    hue: float = 0.0
    saturation: float = 1.0
    value: float = 1.0


def draw_tone(random: np.random.Generator, arguments: AugmentArguments) -> Tone:
    """A tone uniform in the ranges of the arguments."""
    hue, saturation, value = random.uniform(-1, 1, 3).tolist()
    return Tone(arguments.hsv_h * hue, 1 + arguments.hsv_s * saturation, 1 + arguments.hsv_v * value)


def toned(picture: Picture, tone: Tone) -> Picture:
    """A picture (H, W, 3) BGR uint8 in another tone."""
    if tone == Tone():
        return picture
    levels = np.arange(256, dtype=np.float64)
    table = np.stack(
        [
            (levels + tone.hue * _HUES) % _HUES,
            (levels * tone.saturation).clip(0, 255),
            (levels * tone.value).clip(0, 255),
        ],
        axis=1,
    ).astype(np.uint8)
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    return np.asarray(cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2BGR), np.uint8)
