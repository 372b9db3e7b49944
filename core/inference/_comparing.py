"""How far two sightings are of one object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.inference._placed import Part, area, blocks, common, hull, inside
from segkit.core.inference._resample import Window

SAME = 0.5
"""Share of pixels on which two masks must agree to be one object, or of a part that must lie inside the object."""

LEAST = 0.25
"""Boxes that share less than this of the larger one are not worth comparing pixel by pixel."""

BLOCK = 1024
"""Side of the squares in which large masks are compared, in pixels."""


class Pixels(NamedTuple):
    """Numbers of pixels: of a mask, of another one, and of what both cover."""

    one: int = 0
    other: int = 0
    both: int = 0

    @property
    def agreement(self) -> float:
        """Intersection over union."""
        return self.both / max(self.one + self.other - self.both, 1)

    @property
    def contained(self) -> float:
        """Share of the one that lies inside the other."""
        return self.both / max(self.one, 1)


def overlaps(boxes: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,): intersection over union of boxes (N, 4) with one box (4,)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas: NDArray[np.float32] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    found: NDArray[np.float32] = shared / np.maximum(areas + np.prod(box[2:] - box[:2]) - shared, 1e-9)
    return found


def compared(one: Part, other: Part, looked: Window | None, *, contained: bool) -> Pixels:
    """Two masks, compared in the window that both were looked at in; None is the whole picture.

    Block by block, so that masks as large as the picture need no arrays of that size. Boxes that can never reach the
    thresholds are not worth it: the answer is zeros. `contained` tells that it is enough for the one to be inside.
    """
    mine, its = one.reach, other.reach
    if looked is not None:
        mine, its = common(mine, looked), common(its, looked)
    if area(common(mine, its)) < LEAST * (area(mine) if contained else max(area(mine), area(its))):
        return Pixels()
    total = np.zeros(3, np.int64)
    for block in blocks(hull(mine, its), BLOCK):
        here, there = common(block, mine), common(block, its)
        shared = common(here, there)
        mask, mask_of = one.within(here), other.within(there)
        both = mask[inside(shared, here)] & mask_of[inside(shared, there)]
        total += [np.count_nonzero(each) for each in (mask, mask_of, both)]
    return Pixels(*total.tolist())
