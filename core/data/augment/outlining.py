"""From labels to scenes: every shape becomes outlines in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core import rle
from segkit.core.data.augment.scene import Points, Scene
from segkit.core.data.labels import Labels, Outline, Shape
from segkit.core.data.tracing import quick_trace
from segkit.core.images.batch import Picture


def scene_of(picture: Picture, labels: Labels) -> Scene:
    """A picture with what is labelled in it; crowds are left out, for nothing is learnt from them."""
    sides = np.array(picture.shape[1::-1], np.float32)
    chosen = np.flatnonzero(~labels.crowd)
    outlines: list[Points] = []
    owners: list[int] = []
    known = np.ones(len(chosen), np.bool_)
    for owner, index in enumerate(chosen):
        parts = outlines_of(labels.shapes[index])
        if not parts:
            known[owner] = False
            parts = (_corners(labels.boxes[index]),)
        outlines += [part * sides for part in parts]
        owners += [owner] * len(parts)
    points = np.concatenate(outlines).astype(np.float32, copy=False) if outlines else np.zeros((0, 2), np.float32)
    counts = np.array([len(outline) for outline in outlines], np.int64)
    return Scene(picture, labels.classes[chosen], known, points, counts, np.array(owners, np.int64))


def outlines_of(shape: Shape) -> tuple[Outline, ...]:
    """The outlines of a shape in units of the picture's sides; none where only its box is known."""
    if not isinstance(shape, dict):
        return tuple(part for part in shape if len(part))
    height, width = shape["size"]
    # A corner is the middle of a pixel: cut to whole pixels again, it is that pixel.
    return tuple(((part + 0.5) / (width, height)).astype(np.float32) for part in quick_trace(rle.decode(shape)))


def _corners(box: NDArray[np.float32]) -> Outline:
    x1, y1, x2, y2 = box.tolist()
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)
