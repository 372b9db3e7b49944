"""Mosaic: four pictures around a point of a canvas twice as large (YOLOv4, arXiv 2004.10934)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.patchwork import Patch, Patchwork
from segkit.core.data.augment.scene import Scene, joined

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
        A scene of (2 side, 2 side), grey where no picture is; what reaches beyond the canvas is cut off. Nothing is
        drawn yet.
    """
    places = []
    for scene, (right, below) in zip(scenes, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        height, width = scene.size
        left, top = centre[0] - (0 if right else width), centre[1] - (0 if below else height)
        places.append((left, top))
    canvas = Patchwork(
        (2 * side, 2 * side),
        tuple(Patch(scene.picture, *place) for scene, place in zip(scenes, places, strict=True)),
    )
    placed = [
        scene.moved(canvas, scene.points + np.array(place, np.float32))
        for scene, place in zip(scenes, places, strict=True)
    ]
    return clipped(joined(canvas, placed))[0]
