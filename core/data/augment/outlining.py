"""From labels to scenes: every shape becomes outlines in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core import rle
from segkit.core.data.augment.scene import Points, Scene
from segkit.core.data.labels import Labels, Outline, Shape
from segkit.core.data.tracing import quick_trace
from segkit.core.images.batch import Picture


@dataclass(frozen=True, eq=False)
class Outlined:
    """The M objects of one picture or of several as flat arrays. Crowds are left out, for nothing is learnt from them.

    Attributes:
        classes: (M,) int64.
        known: (M,) bool: whether the shape is known; else the only outline is the box.
        points: (P, 2) float32 x, y in units of the picture's sides: the corners of all outlines, one after another.
        counts: (K,) int64 corners of each outline, at least one.
        owners: (K,) int64 the object of each outline within its picture, ascending.
        objects: (N,) int64 objects of each picture.
        outlines: (N,) int64 outlines of each picture.
    """

    classes: NDArray[np.int64]
    known: NDArray[np.bool_]
    points: Points
    counts: NDArray[np.int64]
    owners: NDArray[np.int64]
    objects: NDArray[np.int64]
    outlines: NDArray[np.int64]

    @classmethod
    def of(cls, pictures: Sequence[Labels]) -> Outlined:
        """What is labelled in pictures."""
        parts: list[Outline] = []
        owners: list[int] = []
        known: list[bool] = []
        objects, outlines = [], []
        for labels in pictures:
            before = len(parts)
            chosen = np.flatnonzero(~labels.crowd).tolist()
            for owner, index in enumerate(chosen):
                found = outlines_of(labels.shapes[index])
                known.append(bool(found))
                parts += found or (_corners(labels.boxes[index]),)
                owners += [owner] * (len(found) or 1)
            objects.append(len(chosen))
            outlines.append(len(parts) - before)
        return cls(
            np.concatenate([labels.classes[~labels.crowd] for labels in pictures])
            if pictures
            else np.zeros(0, np.int64),
            np.array(known, np.bool_),
            np.concatenate(parts).astype(np.float32, copy=False) if parts else np.zeros((0, 2), np.float32),
            np.array([len(part) for part in parts], np.int64),
            np.array(owners, np.int64),
            np.array(objects, np.int64),
            np.array(outlines, np.int64),
        )

    def scene(self, picture: Picture) -> Scene:
        """The objects of one picture in it."""
        sides = np.array(picture.shape[1::-1], np.float32)
        return Scene(picture, self.classes, self.known, self.points * sides, self.counts, self.owners)


def scene_of(picture: Picture, labels: Labels) -> Scene:
    """A picture with what is labelled in it; crowds are left out."""
    return Outlined.of([labels]).scene(picture)


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
