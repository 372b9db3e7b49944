"""Which classes are taken for which: the confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of what was found against what is there.

    Attributes:
        matrix: (classes + 1, classes + 1) int64: rows are what was found, columns what is there; the last of each is
            the background: the last row counts objects that were missed, the last column what is not there.
        names: of the classes.
        conf: detections of a higher confidence count.
        iou: a detection and an object that overlap by more are a pair, whatever their classes.
    """

    matrix: NDArray[np.int64]
    names: dict[int, str]
    conf: float
    iou: float

    def normalised(self) -> Floats:
        """Shares of the objects of each class: every column that counts anything adds up to 1."""
        totals = self.matrix.sum(axis=0, keepdims=True)
        shares: Floats = np.divide(self.matrix, totals, out=np.zeros(self.matrix.shape), where=totals > 0)
        return shares


def count_confusions(
    matrix: NDArray[np.int64],
    overlaps: Floats,
    found: NDArray[np.int64],
    truth: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    iou: float,
) -> None:
    """Add one picture to `matrix`.

    The pairs that overlap most come first, and each detection and object is used once. A detection without an object
    that lies in a crowd of its class is not counted.

    Args:
        matrix: as in `ConfusionMatrix`.
        overlaps: (N, M) IoU; with a crowd, the share of the detection that lies in it.
        found: (N,) classes of the detections.
        truth: (M,) classes of the objects.
        crowd: (M,) which are crowds.
        iou: pairs overlap by more.
    """
    background = len(matrix) - 1
    usable = np.where(crowd, 0.0, overlaps)
    rows, columns = np.nonzero(usable > iou)
    free_found, free_truth = np.ones(len(found), np.bool_), ~crowd
    for index in np.argsort(-usable[rows, columns], kind="stable"):
        row, column = rows[index], columns[index]
        if free_found[row] and free_truth[column]:
            free_found[row] = free_truth[column] = False
            matrix[found[row], truth[column]] += 1
    in_crowd = ((overlaps > iou) & crowd & (found[:, None] == truth)).any(axis=1)
    matrix[:, background] += np.bincount(found[free_found & ~in_crowd], minlength=len(matrix))
    matrix[background] += np.bincount(truth[free_truth], minlength=len(matrix))
