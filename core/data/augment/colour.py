"""Colour: hue, saturation and brightness of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.images.batch import Picture

_HUES = 180
"""OpenCV keeps half degrees of the colour circle in a byte."""


_CUT = 0.4995
"""Taken off before OpenCV rounds: what is left is cut to whole levels, as casting does it."""


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
    hue, saturation, value = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV))
    if tone.hue:
        hue = cv2.LUT(hue, ((np.arange(256) + tone.hue * _HUES) % _HUES).astype(np.uint8))
    # One channel at a time is arithmetic on whole vectors; a table for all three is a look-up for every byte.
    saturation = _scaled(saturation, tone.saturation)
    value = _scaled(value, tone.value)
    return np.asarray(cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2BGR), np.uint8)


def _scaled(levels: NDArray[Any], factor: float) -> NDArray[Any]:
    """(H, W) uint8 levels times a factor, not negative, cut to whole ones and to 255."""
    return levels if factor == 1 else cv2.convertScaleAbs(levels, alpha=factor, beta=-_CUT)
