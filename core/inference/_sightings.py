"""Objects seen in views of a picture, before they are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.inference._placed import Part
from segkit.core.inference.nms import suppress


@dataclass(frozen=True, eq=False)
class Sightings:
    """Objects seen in one or more views, in pixels of the picture, in any order.

    Attributes:
        xyxy: (N, 4) float32.
        confidence: (N,) float32.
        classes: (N,) int64.
        masks: N masks.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: Sequence[Part]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.confidence)

    def __getitem__(self, index: NDArray[Any]) -> Sightings:
        """Some of them, by an index array."""
        return Sightings(
            self.xyxy[index], self.confidence[index], self.classes[index], [self.masks[i] for i in index.tolist()]
        )

    @classmethod
    def joined(cls, several: Sequence[Sightings]) -> Sightings:
        """All of them in one."""
        return cls(
            np.concatenate([each.xyxy for each in several]),
            np.concatenate([each.confidence for each in several]),
            np.concatenate([each.classes for each in several]),
            [mask for each in several for mask in each.masks],
        )

    def best(self, limit: int) -> Sightings:
        """The `limit` most confident, best first."""
        return self[np.argsort(-self.confidence, kind="stable")[:limit]]


def strongest(several: Sequence[Sightings], *, iou: float, limit: int, agnostic: bool) -> Sightings:
    """What copies of one window show: of boxes that overlap by an IoU above `iou`, the most confident."""
    every = Sightings.joined(several).best(sum(map(len, several)))
    return every[suppress(every.xyxy, None if agnostic else every.classes, iou, limit)]
