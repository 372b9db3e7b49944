"""Precision and recall over confidence by the plain rules, and the trapezoid AP that a widely used trainer reports.

Every detection of a class is right or wrong at each threshold, crowds are not there. Precision, recall and F1 are those
of IoU .5, read on a grid of 1000 confidences. The AP of a class is the area under the envelope of its precision, drawn
through 101 recalls; COCO takes the mean of 101 values instead, so the two differ a little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = np.linspace(0, 1, 1000)
"""Confidences, and recalls of the PR curve, at which the curves are read."""

_TINY = 1e-16


@dataclass(frozen=True, eq=False)
class Curves:
    """Of the C classes that have objects, in ascending order.

    Attributes:
        classes: (C,) class indices.
        objects: (C,) how many objects each has.
        ap: (C, T) trapezoid AP at each threshold.
        precision, recall: (C, 1000) at IoU .5 over the confidences of `GRID`.
        pr: (C, 1000) precision at IoU .5 over the recalls of `GRID`.
    """

    classes: NDArray[np.int64]
    objects: NDArray[np.int64]
    ap: Floats
    precision: Floats = field(repr=False)
    recall: Floats = field(repr=False)
    pr: Floats = field(repr=False)

    @cached_property
    def f1(self) -> Floats:
        """(C, 1000) harmonic mean of precision and recall."""
        f1: Floats = 2 * self.precision * self.recall / (self.precision + self.recall + _TINY)
        return f1

    @cached_property
    def best(self) -> int:
        """The place in `GRID` where the mean F1 of all classes, smoothed, is largest."""
        return int(_smooth(self.f1.mean(axis=0)).argmax()) if len(self.classes) else 0


def curves(
    right: NDArray[np.bool_], confidence: Floats, found: NDArray[np.integer], objects: NDArray[np.integer]
) -> Curves:
    """From N detections and the number of objects of each class.

    Args:
        right: (N, T) whether a detection is right at each threshold, the first of which is .5.
        confidence: (N,).
        found: (N,) classes of the detections.
        objects: (classes,) how many there are.
    """
    order = np.lexsort((-confidence, found))
    classes = np.flatnonzero(objects).astype(np.int64)
    bounds = np.searchsorted(found[order], np.arange(len(objects) + 1))
    ap = np.zeros((len(classes), right.shape[1]))
    precision, recall, pr = (np.zeros((len(classes), len(GRID))) for _ in range(3))
    for row, label in enumerate(classes):
        chosen = order[bounds[label] : bounds[label + 1]]
        if not len(chosen):
            continue
        falling = -confidence[chosen]
        ranks = np.arange(1, len(chosen) + 1)
        flags = right[chosen].T
        for index in range(len(flags)):  # one by one: of a million detections all thresholds would be a gigabyte
            if index and np.array_equal(flags[index], flags[index - 1]):
                ap[row, index] = ap[row, index - 1]
                continue
            hits = np.cumsum(flags[index])
            recalls, precisions = hits / (objects[label] + _TINY), hits / ranks
            x, y = _envelope(recalls, precisions)
            heights = np.interp(_RECALLS, x, y)
            ap[row, index] = ((heights[1:] + heights[:-1]) / 2 * np.diff(_RECALLS)).sum()
            if index == 0:
                recall[row] = np.interp(-GRID, falling, recalls, left=0)
                precision[row] = np.interp(-GRID, falling, precisions, left=1)
                pr[row] = np.interp(GRID, x, y)
    return Curves(classes, objects[classes].astype(np.int64), ap, precision, recall, pr)


_RECALLS = np.linspace(0, 1, 101)


def _envelope(recalls: Floats, precisions: Floats) -> tuple[Floats, Floats]:
    """Recalls with 0, the last one and 1 about them, and the best precision from there on."""
    x = np.concatenate([[0.0], recalls, [recalls[-1], 1.0]])
    y = np.concatenate([[1.0], precisions, [0.0, 0.0]])
    return x, np.maximum.accumulate(y[::-1])[::-1]


def _smooth(values: Floats) -> Floats:
    """A running mean over a tenth of the curve, whose ends go on as they are."""
    window = round(len(values) * 0.1 * 2) // 2 + 1
    padded = np.pad(values, window // 2, mode="edge")
    smoothed: Floats = np.convolve(padded, np.ones(window) / window, mode="valid").astype(np.float64)
    return smoothed
