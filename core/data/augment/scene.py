"""A picture and its objects while they are changed together: pixels, and the corners of all outlines in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Labels, Outline
from segkit.core.images.batch import Picture
from segkit.core.images.size import Size

Points = NDArray[np.float32]
"""(P, 2) x, y in pixels of the picture; pixel 0 spans 0 to 1."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with N objects, each of at least one outline.

    Attributes:
        picture: (H, W, 3) BGR uint8. Never written to: scenes share it.
        classes: (N,) int64.
        outlined: (N,) bool: whether the shape is known; else the only outline is the box.
        points: (P, 2) float32 x, y in pixels: the corners of all outlines, one after another.
        counts: (K,) int64 corners of each outline, at least one.
        owners: (K,) int64 the object of each outline, ascending.
    """

    picture: Picture
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
        return self.picture.shape[0], self.picture.shape[1]

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
        first = starts[np.searchsorted(self.owners, np.arange(len(self)))]
        low, high = np.minimum.reduceat(self.points, first), np.maximum.reduceat(self.points, first)
        return np.concatenate([low, high], axis=1)

    def parts(self) -> list[list[Points]]:
        """The outlines of each of the N objects."""
        found: list[list[Points]] = [[] for _ in range(len(self))]
        for owner, outline in zip(self.owners.tolist(), self.outlines, strict=True):
            found[owner].append(outline)
        return found

    def showing(self, picture: Picture) -> Scene:
        """The same objects in another picture."""
        return replace(self, picture=picture)

    def moved(self, picture: Picture, points: NDArray[np.floating[Any]]) -> Scene:
        """The same objects in another picture with their corners elsewhere."""
        return replace(self, picture=picture, points=points.astype(np.float32, copy=False))

    def take(self, chosen: NDArray[np.bool_]) -> Scene:
        """Only the chosen objects, (N,) bool."""
        if chosen.all():
            return self
        kept = chosen[self.owners]
        return Scene(
            self.picture,
            self.classes[chosen],
            self.outlined[chosen],
            self.points[np.repeat(kept, self.counts)],
            self.counts[kept],
            (np.cumsum(chosen) - 1)[self.owners[kept]],
        )

    def with_outlines(self, outlines: Sequence[Points], owners: Sequence[int]) -> tuple[Scene, NDArray[np.bool_]]:
        """The same objects with other outlines, `owners` ascending; and (N,) which of them still have one."""
        owner = np.asarray(owners, np.int64)
        left = np.zeros(len(self), np.bool_)
        left[owner] = True
        points = np.concatenate(outlines) if outlines else np.zeros((0, 2), np.float32)
        counts = np.array([len(outline) for outline in outlines], np.int64)
        renumbered = (np.cumsum(left) - 1)[owner] if len(owner) else owner
        return Scene(self.picture, self.classes[left], self.outlined[left], points, counts, renumbered), left

    def labels(self) -> Labels:
        """The objects in units of the picture's sides; an object of unknown shape has no outline."""
        sides = np.array(self.size[::-1], np.float32)
        shapes: list[tuple[Outline, ...]] = [
            tuple(outline / sides for outline in parts) if known else ()
            for parts, known in zip(self.parts(), self.outlined.tolist(), strict=True)
        ]
        return Labels.of(self.classes, shapes, self.boxes / np.tile(sides, 2))


def joined(picture: Picture, scenes: Sequence[Scene]) -> Scene:
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
