"""What was found in a picture and what is there: the two sides that are scored against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.core.errors import InputError
from segkit.core.rle import Rle


@dataclass(frozen=True, eq=False)
class Found:
    """The N objects that a model found in one picture, in any order.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the picture; kept as float64.
        confidence: (N,) scores; kept as float64.
        classes: (N,) indices of the names; kept as int64.
        masks: N run lengths of the size of the picture, or None where only boxes are scored.

    Raises:
        InputError: the parts differ in length, or a number is not finite.
    """

    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    classes: NDArray[np.int64]
    masks: Sequence[Rle] | None = None

    def __post_init__(self) -> None:
        """Anything that numpy takes becomes the types above."""
        count = _adopt_objects(self, "what was found")
        object.__setattr__(self, "confidence", _array(self.confidence, np.float64, (count,), "confidence"))
        _refuse_odd_numbers(self, "boxes", "confidence")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.classes)


@dataclass(frozen=True, eq=False)
class Truth:
    """The M objects that are labelled in one picture.

    Attributes:
        boxes: (M, 4) x1, y1, x2, y2 in pixels of the picture; kept as float64.
        classes: (M,) indices of the names; kept as int64.
        crowd: (M,) bool: a region with many objects, in which nothing that is found counts.
        areas: (M,) pixels, by which COCO tells small, medium and large objects apart. NaN where the data set does not
            say, or None where it says nothing: the pixels of the mask count then, or those of the box without one.
        masks: M run lengths of the size of the picture, or None where only boxes are scored.

    Raises:
        InputError: the parts differ in length, or a coordinate is not finite.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    crowd: NDArray[np.bool_] | None = None
    areas: NDArray[np.float64] | None = None
    masks: Sequence[Rle] | None = None

    def __post_init__(self) -> None:
        """Anything that numpy takes becomes the types above."""
        count = _adopt_objects(self, "the truth")
        crowd = np.zeros(count) if self.crowd is None else self.crowd
        areas = np.full(count, np.nan) if self.areas is None else self.areas
        object.__setattr__(self, "crowd", _array(crowd, np.bool_, (count,), "crowd"))
        object.__setattr__(self, "areas", _array(areas, np.float64, (count,), "areas"))
        _refuse_odd_numbers(self, "boxes")

    @property
    def crowds(self) -> NDArray[np.bool_]:
        """`crowd`, nowhere where it was not given."""
        assert self.crowd is not None
        return self.crowd

    @property
    def sizes(self) -> NDArray[np.float64]:
        """`areas`, NaN where they were not given."""
        assert self.areas is not None
        return self.areas

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.classes)


def _adopt_objects(record: Found | Truth, who: str) -> int:
    """Boxes and classes as arrays of the right type; gives their number."""
    count = len(record.classes)
    object.__setattr__(record, "classes", _array(record.classes, np.int64, (count,), "classes"))
    object.__setattr__(record, "boxes", _array(record.boxes, np.float64, (count, 4), "boxes"))
    if record.masks is not None and len(record.masks) != count:
        raise InputError(f"There are {count} classes and {len(record.masks)} masks in {who}: give one mask an object.")
    return count


def _array(given: ArrayLike, kind: type, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(given, kind)
    if values.size == 0 and shape[0] == 0:
        return values.reshape(shape)
    if values.shape != shape:
        raise InputError(f"The shape of {name} is {values.shape}; with {shape[0]} classes it must be {shape}.")
    return values


def _refuse_odd_numbers(record: Found | Truth, *names: str) -> None:
    for name in names:
        odd = np.nonzero(~np.isfinite(getattr(record, name)))[0]
        if len(odd):
            raise InputError(f"Object {odd[0]} has a number in its {name} that is not finite, and cannot be scored.")
