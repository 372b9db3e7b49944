"""A picture and its objects while they are changed together: pixels, and the corners of all outlines in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.patchwork import Patchwork
from segkit.core.data.labels import Labels, Outline
from segkit.core.images.batch import Picture
from segkit.core.images.size import Size

Points = NDArray[np.float32]
"""(P, 2) x, y in pixels of the picture; pixel 0 spans 0 to 1."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with N objects, each of at least one outline.

    Attributes:
        shown: (H, W, 3) BGR uint8, never written to: scenes share it; or what is to be drawn so when it is looked at.
        classes: (N,) int64.
        outlined: (N,) bool: whether the shape is known; else the only outline is the box.
        points: (P, 2) float32 x, y in pixels: the corners of all outlines, one after another.
        counts: (K,) int64 corners of each outline, at least one.
        owners: (K,) int64 the object of each outline, ascending.
    """

    shown: Picture | Patchwork
    classes: NDArray[np.int64]
    outlined: NDArray[np.bool_]
    points: Points
    counts: NDArray[np.int64]
    owners: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.classes)

    @property
    def size(self) -> Size:
        """(height, width) of the picture."""
        return self.shown.size if isinstance(self.shown, Patchwork) else (self.shown.shape[0], self.shown.shape[1])

    @cached_property
    def picture(self) -> Picture:
        """(H, W, 3) BGR uint8. Never written to."""
        return self.shown.drawn() if isinstance(self.shown, Patchwork) else self.shown

    @cached_property
    def outlines(self) -> list[Points]:
        """The K outlines, as views."""
        ends = np.cumsum(self.counts).tolist()
        return [self.points[end - count : end] for end, count in zip(ends, self.counts.tolist(), strict=True)]

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) x1, y1, x2, y2 in pixels around each object's outlines."""
        if not len(self):
            return np.zeros((0, 4), np.float32)
        starts = np.cumsum(self.counts) - self.counts
        first = starts[self.firsts]
        low, high = np.minimum.reduceat(self.points, first), np.maximum.reduceat(self.points, first)
        return np.concatenate([low, high], axis=1)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """(N,) the first outline of each object."""
        return np.searchsorted(self.owners, np.arange(len(self)))

    def parts(self) -> list[list[Points]]:
        """The outlines of each of the N objects."""
        found: list[list[Points]] = [[] for _ in range(len(self))]
        for owner, outline in zip(self.owners.tolist(), self.outlines, strict=True):
            found[owner].append(outline)
        return found

    def showing(self, picture: Picture | Patchwork) -> Scene:
        """The same objects in another picture."""
        return replace(self, shown=picture)

    def moved(self, picture: Picture | Patchwork, points: NDArray[np.floating[Any]]) -> Scene:
        """The same objects in another picture with their corners elsewhere."""
        return replace(self, shown=picture, points=points.astype(np.float32, copy=False))

    def take(self, chosen: NDArray[np.bool_]) -> Scene:
        """Only the chosen objects, (N,) bool."""
        if chosen.all():
            return self
        kept = chosen[self.owners]
        return Scene(
            self.shown,
            self.classes[chosen],
            self.outlined[chosen],
            self.points[np.repeat(kept, self.counts)],
            self.counts[kept],
            (np.cumsum(chosen) - 1)[self.owners[kept]],
        )

    def with_outlines(self, outlines: Sequence[Points], owners: Sequence[int]) -> tuple[Scene, NDArray[np.bool_]]:
        """The same objects with other outlines, `owners` ascending; and (N,) which of them still have one."""
        points = np.concatenate(outlines) if outlines else np.zeros((0, 2), np.float32)
        counts = np.array([len(outline) for outline in outlines], np.int64)
        return self.outlined_by(points, counts, np.asarray(owners, np.int64))

    def outlined_by(
        self, points: Points, counts: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> tuple[Scene, NDArray[np.bool_]]:
        """The same with all corners in one array, as they are kept here."""
        left = np.zeros(len(self), np.bool_)
        left[owners] = True
        renumbered = (np.cumsum(left) - 1)[owners] if len(owners) else owners
        return Scene(self.shown, self.classes[left], self.outlined[left], points, counts, renumbered), left

    def labels(self) -> Labels:
        """The objects in units of the picture's sides; an object of unknown shape has no outline."""
        sides = np.array(self.size[::-1], np.float32)
        shapes: list[tuple[Outline, ...]] = [
            tuple(outline / sides for outline in parts) if known else ()
            for parts, known in zip(self.parts(), self.outlined.tolist(), strict=True)
        ]
        return Labels.of(self.classes, shapes, self.unit_boxes)

    @property
    def unit_boxes(self) -> NDArray[np.float32]:
        """(N, 4) x1, y1, x2, y2 in units of the picture's sides."""
        height, width = self.size
        return np.asarray(self.boxes / np.array([width, height, width, height], np.float32), np.float32)


def joined(picture: Picture | Patchwork, scenes: Sequence[Scene]) -> Scene:
    """The objects of several scenes, in order, in one picture."""
    firsts = np.cumsum([0, *(len(scene) for scene in scenes)])
    return Scene(
        picture,
        np.concatenate([scene.classes for scene in scenes]),
        np.concatenate([scene.outlined for scene in scenes]),
        np.concatenate([scene.points for scene in scenes]),
        np.concatenate([scene.counts for scene in scenes]),
        np.concatenate([scene.owners + first for scene, first in zip(scenes, firsts, strict=False)]),
    )
