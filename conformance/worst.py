"""A picture where two models differ, drawn for a report: the reference, the backend, and where their masks differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.conformance.comparison import LIMITS, Compared
from segkit.conformance.instances import Seen, match
from segkit.conformance.objects import CONF
from segkit.conformance.panels import DIFFERENT, GAP, PAPER, side_by_side
from segkit.core.backend import Precision
from segkit.core.images import Picture
from segkit.core.images.items import Item
from segkit.core.inference.saving import write_picture


def draw_worst(path: Path, picture: Picture, one: Seen, other: Seen, title: str, names: Mapping[int, str]) -> Path:
    """Write the panels to `path`."""
    compared = Compared(Item(0, path.name, picture), (one, other), (match(one, other, CONF),))
    panels = side_by_side(compared, ["reference", title], [LIMITS[Precision.FP32]], names)
    third = _difference(picture, one, other)
    # The panels have a line of text above them, and pictures that are too large are made smaller.
    canvas = np.full((panels.shape[0], third.shape[1] + GAP, 3), PAPER, np.uint8)
    height = min(third.shape[0], canvas.shape[0])
    canvas[canvas.shape[0] - height :, GAP:] = third[:height]
    write_picture(path, np.ascontiguousarray(np.hstack([panels, canvas])))
    return path


def _difference(picture: Picture, one: Seen, other: Seen) -> Picture:
    """The picture in grey, and in red what only one of the two covers."""
    shape = picture.shape[0], picture.shape[1]
    grey = np.repeat(picture.mean(2, keepdims=True) * 0.4, 3, 2).astype(np.uint8)
    grey[_covered(one, shape) ^ _covered(other, shape)] = DIFFERENT
    return grey


def _covered(seen: Seen, shape: tuple[int, int]) -> NDArray[np.bool_]:
    found = np.zeros(shape, np.bool_)
    for mask, top, left in seen.crops:
        found[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
    return found
