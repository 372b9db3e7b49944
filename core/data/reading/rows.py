"""Rows of numbers become labels: the arithmetic of many rows at once, whatever file each of them stands in."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import NOTHING, Labels, Outline
from segkit.core.data.problems import Kind

TOLERANCE = 0.01
"""How far beyond the picture's sides a coordinate may be, for rounding: it is set on the side. Further is a fault."""

BOX = 5
"""Numbers in a row that is a box: class, centre x, centre y, width, height."""

_FLAT = 1e-12
"""Twice an area, in units of the picture, below which corners are looked at for standing in one line."""

Row: TypeAlias = "array[float]"
"""A class that there is, and coordinates: those of a box or at least 3 pairs."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows that were looked at.

    Attributes:
        labels: of the good ones, in order.
        good: (N,) bool, which rows these are.
        faults: kind and words of the others, by row.
        boxes: (N,) bool, rows that are boxes.
    """

    labels: Labels
    good: NDArray[np.bool_]
    faults: dict[int, tuple[Kind, str]]
    boxes: NDArray[np.bool_]


def settle(rows: Sequence[Row]) -> Settled:
    """Labels of those rows whose coordinates are usable; what is wrong with the others."""
    if not rows:
        return Settled(NOTHING, np.zeros(0, np.bool_), {}, np.zeros(0, np.bool_))
    lengths = np.fromiter(map(len, rows), np.intp, len(rows))
    numbers = np.frombuffer(b"".join(rows), np.float64)
    first = np.cumsum(lengths) - lengths
    classes = numbers[first].astype(np.int64)
    is_value = np.ones(len(numbers), np.bool_)
    is_value[first] = False
    values = numbers[is_value]
    counts = lengths - 1
    starts = np.cumsum(counts) - counts
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    inside = (low >= -TOLERANCE) & (high <= 1 + TOLERANCE)  # false of nan, too
    is_box = lengths == BOX
    _corners(values, starts[is_box])
    points = values.clip(0, 1).astype(np.float32).reshape(-1, 2)
    starts, counts = starts // 2, counts // 2
    boxes = np.concatenate([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)], axis=1)
    # As they are written: a negative width must not become one.
    boxes[is_box] = points[starts[is_box][:, None] + [0, 1]].reshape(-1, 4)
    outlines = [points[start : start + count] for start, count in zip(starts, counts, strict=True)]
    wide = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    flat = inside & wide & ~is_box & (_twice_area(points, starts, counts) < _FLAT)
    wide[[i for i in np.flatnonzero(flat) if _in_line(outlines[i])]] = False
    good = inside & wide
    faults = {int(i): _fault(inside[i], is_box[i], low[i], high[i]) for i in np.flatnonzero(~good)}
    shapes = tuple(() if is_box[i] else (outlines[i],) for i in np.flatnonzero(good))
    return Settled(Labels.of(classes[good], shapes, boxes[good]), good, faults, is_box)


def _corners(values: NDArray[np.float64], starts: NDArray[np.intp]) -> None:
    """Make centre, width and height two corners, in place."""
    with np.errstate(invalid="ignore", over="ignore"):  # of numbers that are out of range anyhow
        centre, half = values[starts[:, None] + [0, 1]], values[starts[:, None] + [2, 3]] / 2
        values[starts[:, None] + np.arange(4)] = np.concatenate([centre - half, centre + half], axis=1)


def _fault(inside: bool, is_box: bool, low: float, high: float) -> tuple[Kind, str]:
    if not inside:
        return Kind.OUT_OF_RANGE, f"coordinates from {low:g} to {high:g}; 0 to 1 are expected"
    return Kind.NO_AREA, "the box has no width or height" if is_box else "its corners are all in one line"


def _twice_area(points: Outline, starts: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of every outline, by the shoelace formula; loops in opposite directions cancel."""
    x, y = points.T.astype(np.float64)
    following = np.arange(1, len(points) + 1)
    following[starts + counts - 1] = starts
    area: NDArray[np.float64] = np.abs(np.add.reduceat(x * y[following] - x[following] * y, starts))
    return area


def _in_line(outline: Outline) -> bool:
    """Whether all corners are on one line: what a figure of eight is not, whose loops cancel."""
    offsets = outline.astype(np.float64) - outline[0]
    far = offsets[np.argmax((offsets**2).sum(axis=1))]
    return bool((np.abs(offsets @ [-far[1], far[0]]) < _FLAT).all())
