"""From labels to scenes: every shape becomes outlines in pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core import polygons, rle
from segkit.core.data.augment.scene import Points, Scene
from segkit.core.data.labels import Labels, Outline, Shape
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
    mask = np.ascontiguousarray(rle.decode(shape)).view(np.uint8)
    # A corner is the middle of a pixel: cut to whole pixels again, it is that pixel.
    return tuple(((part + 0.5) / (width, height)).astype(np.float32) for part in _with_holes(mask))


def _with_holes(mask: NDArray[np.uint8]) -> list[polygons.Outline]:
    """An outline a part, which runs around the part's holes too."""
    found, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = [contour.reshape(-1, 2).astype(np.int32) for contour in found]
    inside: dict[int, list[polygons.Outline]] = {}
    for contour, (_, _, _, parent) in zip(contours, tree[0].tolist() if contours else (), strict=True):
        inside.setdefault(parent, []).append(contour)
    outer = [index for index, row in enumerate(tree[0].tolist()) if row[3] < 0] if contours else []
    return [polygons.join([contours[index], *inside.get(index, ())]) for index in outer]


def _corners(box: NDArray[np.float32]) -> Outline:
    x1, y1, x2, y2 = box.tolist()
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)
