"""The objects of COCO's JSON, one by one: polygons or run lengths in pixels become parts of a picture's sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import NOTHING, Labels, Outline, Shape, box_of
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.rows import TOLERANCE
from segkit.core.rle import Rle, compress, decode, decompress

_LARGEST = 1e18
"""Square pixels that no picture has; whole numbers in JSON may be too large for any float."""


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with an object, as the kind and words of a problem."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.kind, self.words = kind, words


def labels_of(
    path: Path,
    objects: Sequence[Mapping[str, Any]],
    classes: Mapping[int, int],
    size: tuple[int, int],
    said: tuple[int, int],
) -> tuple[Labels, list[Problem]]:
    """The labels of one picture.

    Args:
        path: what to call the file in problems.
        objects: as they stand in it.
        classes: class indices by category number.
        size: height and width of the picture.
        said: height and width that the file says: coordinates are pixels of these.

    Returns:
        The usable objects in order, and a problem for each of the others.
    """
    good: list[_Object] = []
    problems: list[Problem] = []
    for each in objects:
        try:
            good.append(_object(each, classes, size, said))
        except _Fault as fault:
            words = f"object {each.get('id')} of picture {each.get('image_id')}: {fault.words}"
            problems.append(Problem(fault.kind, path, words, dropped=True))
    if not good:
        return NOTHING, problems
    indices, shapes, boxes, crowd, areas = zip(*good, strict=True)
    return Labels.of(indices, shapes, boxes, crowd=crowd, areas=areas), problems


_Object = tuple[int, Shape, NDArray[np.float32], bool, float]
"""Class, shape, box, whether it is a crowd, area."""


def _object(
    raw: Mapping[str, Any], classes: Mapping[int, int], size: tuple[int, int], said: tuple[int, int]
) -> _Object:
    category = _number(raw.get("category_id"))
    if category not in classes:
        raise _Fault(Kind.BAD_CLASS, f"its category {raw.get('category_id')!r} is no class of the data set")
    shape = _shape(raw.get("segmentation"), size, said)
    box = np.array(_box(raw.get("bbox"), said) or _box_of(shape), np.float32)
    if not (box[2:] > box[:2]).all():
        raise _Fault(Kind.NO_AREA, "its box has no width or height")
    return classes[category], shape, box, bool(raw.get("iscrowd")), _area(raw.get("area"))


def _number(raw: object) -> int:
    """The number of a category, also where a program wrote it as a text; -1 where it is none."""
    try:
        return int(raw) if isinstance(raw, int | str) else -1
    except ValueError:
        return -1


def _area(raw: object) -> float:
    if isinstance(raw, int | float) and 0 <= raw < _LARGEST:
        return float(raw)
    return math.nan


def _shape(raw: object, size: tuple[int, int], said: tuple[int, int]) -> Shape:
    if isinstance(raw, dict):
        return _runs(raw, size)
    if isinstance(raw, list):
        return _outlines(raw, said)
    if raw is None:
        return ()
    raise _Fault(Kind.MALFORMED, "its segmentation is neither polygons nor run lengths")


def _outlines(parts: list[Any], size: tuple[int, int]) -> tuple[Outline, ...]:
    """Its parts; those that are no area are left out as long as there are others."""
    outlines = [outline for part in parts if len(outline := _outline(part, size)) >= 3]
    if parts and not outlines:
        raise _Fault(Kind.FEW_POINTS, "no part of its polygon has 3 points")
    return tuple(outlines)


def _outline(part: object, size: tuple[int, int]) -> Outline:
    try:
        points = np.array(part, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty((0, 0))
    if points.ndim != 1 or len(points) % 2:
        raise _Fault(Kind.MALFORMED, "its polygon is no list of x, y, x, y, …")
    points = points.reshape(-1, 2) / (size[1], size[0])
    if not ((points >= -TOLERANCE) & (points <= 1 + TOLERANCE)).all():
        raise _Fault(Kind.OUT_OF_RANGE, "its polygon goes beyond the picture")
    return points.clip(0, 1).astype(np.float32)


def _runs(raw: Mapping[str, Any], size: tuple[int, int]) -> Rle:
    counts = raw.get("counts")
    if raw.get("size") != list(size):
        given = str(raw.get("size"))[:40]
        raise _Fault(Kind.MALFORMED, f"its run lengths are of a picture of {given}, this one has {list(size)}")
    try:
        lengths = decompress(counts) if isinstance(counts, str) else np.array(counts, np.int64).reshape(-1)
        good = bool((lengths >= 0).all()) and lengths.sum() == size[0] * size[1]
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise _Fault(Kind.MALFORMED, f"its run lengths do not fill a picture of {list(size)}")
    return {"size": [*size], "counts": counts if isinstance(counts, str) else compress(lengths)}


def _box(raw: object, size: tuple[int, int]) -> Sequence[float] | None:
    """x1, y1, x2, y2 in units of the sides, of pixels x, y, width, height; None where it says none."""
    if raw is None:
        return None
    try:
        x, y, width, height = (float(number) for number in raw)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        raise _Fault(Kind.MALFORMED, "its bbox is not x, y, width, height") from None
    box = (x / size[1], y / size[0], (x + width) / size[1], (y + height) / size[0])
    if not all(-TOLERANCE <= side <= 1 + TOLERANCE for side in box):  # nan, too
        raise _Fault(Kind.OUT_OF_RANGE, "its bbox goes beyond the picture")
    return [min(max(side, 0.0), 1.0) for side in box]


def _box_of(shape: Shape) -> Sequence[float]:
    """Where nothing but the shape is given."""
    if isinstance(shape, tuple):
        if not shape:
            raise _Fault(Kind.MALFORMED, "it has neither a bbox nor a segmentation")
        box = [float(side) for side in box_of(shape)]
    else:
        rows, columns = (np.flatnonzero(decode(shape).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            raise _Fault(Kind.NO_AREA, "its run lengths are empty")
        height, width = shape["size"]
        box = [columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height]
    return box
