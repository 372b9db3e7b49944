"""What is labelled in a picture, whatever file it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.rle import Rle

Outline = NDArray[np.float32]
"""(K, 2) x, y of the corners of a closed outline, in units of the picture's sides."""

Shape = tuple[Outline, ...] | Rle
"""Where an object is: the outlines of its parts, run lengths, or no outline at all where only its box is labelled."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The N objects that are labelled in one picture.

    Attributes:
        classes: (N,) int64, indices of the data set's names.
        boxes: (N, 4) float32 x1, y1, x2, y2, in units of the picture's sides.
        shapes: N shapes.
        crowd: (N,) bool: a region with many objects. Scoring ignores what is found there, training leaves it out.
        areas: (N,) float64 pixels of the picture, as the source says (COCO does); NaN where it says nothing.
    """

    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    shapes: tuple[Shape, ...]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        classes: Sequence[int] | NDArray[Any],
        shapes: Sequence[Shape],
        boxes: Sequence[Sequence[float]] | NDArray[Any],
        *,
        crowd: Sequence[bool] | NDArray[Any] | None = None,
        areas: Sequence[float] | NDArray[Any] | None = None,
    ) -> Labels:
        """The same from anything that numpy takes; nothing is a crowd and no area is known unless given."""
        count = len(shapes)
        return cls(
            np.asarray(classes, np.int64).reshape(count),
            np.asarray(boxes, np.float32).reshape(count, 4),
            tuple(shapes),
            np.zeros(count, np.bool_) if crowd is None else np.asarray(crowd, np.bool_).reshape(count),
            np.full(count, np.nan) if areas is None else np.asarray(areas, np.float64).reshape(count),
        )

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.shapes)

    def __getitem__(self, index: NDArray[Any] | slice) -> Labels:
        """Some of them, by a slice, an index array or a mask."""
        chosen = np.arange(len(self))[index]
        shapes = tuple(self.shapes[i] for i in chosen)
        return Labels(self.classes[chosen], self.boxes[chosen], shapes, self.crowd[chosen], self.areas[chosen])


NOTHING = Labels.of((), (), ())
"""A picture without objects."""


def box_of(outlines: Sequence[Outline]) -> NDArray[np.float32]:
    """(4,) x1, y1, x2, y2 around outlines, at least one."""
    points = np.concatenate(outlines)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
