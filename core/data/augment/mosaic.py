"""Mosaic: four pictures around a point of a canvas twice as large (YOLOv4, arXiv 2004.10934)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.scene import Scene, joined
from segkit.core.images.geometry import PAD_VALUE

TILES = 4


def draw_centre(random: np.random.Generator, side: int) -> tuple[int, int]:
    """(x, y) where the four pictures meet: uniform in [side / 2, 3 side / 2] on each axis."""
    x, y = random.uniform(side / 2, 3 * side / 2, 2)
    return int(x), int(y)


def mosaic(scenes: Sequence[Scene], centre: tuple[int, int], side: int) -> Scene:
    """Four scenes, top left, top right, bottom left, bottom right, each with a corner at `centre`.

    Args:
        scenes: four of them; the long sides of their pictures are `side`.
        centre: x, y.
        side: half a side of the canvas.

    Returns:
        A scene of (2 side, 2 side), grey where no picture is; what reaches beyond the canvas is cut off.
    """
    canvas = np.full((2 * side, 2 * side, 3), PAD_VALUE, np.uint8)
    placed = []
    for scene, (right, below) in zip(scenes, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        height, width = scene.size
        left, top = centre[0] - (0 if right else width), centre[1] - (0 if below else height)
        x1, y1 = max(left, 0), max(top, 0)
        x2, y2 = min(left + width, 2 * side), min(top + height, 2 * side)
        canvas[y1:y2, x1:x2] = scene.picture[y1 - top : y2 - top, x1 - left : x2 - left]
        placed.append(scene.moved(canvas, scene.points + np.array([left, top], np.float32)))
    return clipped(joined(canvas, placed))[0]
