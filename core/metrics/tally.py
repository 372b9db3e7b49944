"""All that was kept of all pictures, in one piece, and COCO's precision and recall from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.matching import PLAIN, SIZES, THRESHOLDS, Flags, Floats
from segkit.core.metrics.picture import Scored, unpacked

MOST = (1, 10, 100)
"""Detections of a class in a picture, the most confident ones, that COCO counts."""

RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO reads the precision."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Everything that was added.

    Attributes:
        scored: all pictures' detections, picture after picture.
        objects: (lanes, classes) objects that count.
        seen_in: (classes,) pictures with such an object.
        kinds: 1 for boxes, 2 for boxes and masks.
        pictures: how many were added.
    """

    scored: Scored
    objects: NDArray[np.int64]
    seen_in: NDArray[np.int64]
    kinds: int
    pictures: int


def joined(pictures: Sequence[Scored], kinds: int) -> Scored:
    """The detections of all pictures."""
    lanes = len(SIZES) + 1
    none = np.zeros((0, kinds, lanes), np.uint16)
    nothing = Scored(np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.uint8), none, none)
    some = [nothing, *(each for each in pictures if len(each.classes))]
    return Scored(
        np.concatenate([each.confidence for each in some]),
        np.concatenate([each.classes for each in some]),
        np.concatenate([each.rank for each in some]),
        np.concatenate([each.right for each in some]),
        np.concatenate([each.wrong for each in some]),
    )


@dataclass(frozen=True, eq=False)
class Coco:
    """COCO's figures of one kind; -1 where nothing counts.

    Attributes:
        precision: (classes, 4 sizes, T) mean over 101 recalls.
        recall: (classes, 4 sizes, T, 3) with 1, 10 and 100 detections of a class in a picture.
    """

    precision: Floats
    recall: Floats

    @property
    def stats(self) -> Floats:
        """(12,) as pycocotools orders them: AP, at .5, at .75, small, medium, large; AR with 1, 10, 100, by size."""
        precision, recall = self.precision, self.recall
        parts = [precision[:, 0], precision[:, 0, 0], precision[:, 0, 5], *np.moveaxis(precision[:, 1:], 1, 0)]
        parts += [recall[:, 0, :, most] for most in range(len(MOST))]
        parts += list(np.moveaxis(recall[:, 1:, :, -1], 1, 0))
        return np.array([_mean(part) for part in parts])


def _mean(values: Floats) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0


def coco(tally: Tally, kind: int) -> Coco:
    """Precision and recall by COCO's rules."""
    scored = tally.scored
    counted = np.flatnonzero(scored.rank < MOST[-1])
    order = counted[np.lexsort((-scored.confidence[counted], scored.classes[counted]))]
    bounds = np.searchsorted(scored.classes[order], np.arange(tally.objects.shape[1] + 1))
    shape = (tally.objects.shape[1], len(SIZES), len(THRESHOLDS))
    precision, recall = np.full(shape, -1.0), np.full((*shape, len(MOST)), -1.0)
    for label in np.flatnonzero(tally.objects[0]):
        rows = order[bounds[label] : bounds[label + 1]]
        sizes = np.flatnonzero(tally.objects[:PLAIN, label])
        objects = tally.objects[sizes, label]
        right, wrong = (unpacked(bits[rows, kind][:, sizes]) for bits in (scored.right, scored.wrong))
        precision[label, sizes] = _mean_precision(right, wrong, objects)
        ranks = scored.rank[rows]
        for index, most in enumerate(MOST):
            hits = right if most == MOST[-1] else right[ranks < most]
            recall[label, sizes, :, index] = np.count_nonzero(hits, axis=0) / objects[:, None]
    return Coco(precision, recall)


def _mean_precision(right: Flags, wrong: Flags, objects: NDArray[np.int64]) -> Floats:
    """(S, T) mean precision over 101 recalls, of (N, S, T) flags in descending order of confidence; (S,) objects."""
    _, sizes, thresholds = right.shape
    lanes, rows = np.nonzero(right.reshape(len(right), sizes * thresholds).T)
    if not len(rows):
        return np.zeros((sizes, thresholds))
    counts = np.bincount(lanes, minlength=sizes * thresholds)
    most = int(counts.max())
    hits = np.arange(1, len(rows) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    misses = np.cumsum(wrong.reshape(len(wrong), sizes * thresholds), axis=0, dtype=np.int32)[rows, lanes]
    # The precision at each hit; nothing, where there are fewer hits than in other lanes.
    precision = np.zeros((sizes * thresholds, most))
    precision[lanes, hits - 1] = hits / (misses + hits + np.spacing(1))
    # The best precision at this or a greater recall; it only rises where a detection is right.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1].reshape(sizes, thresholds, most)
    means = np.zeros((sizes, thresholds))
    for size, count in enumerate(objects.tolist()):
        reached = np.searchsorted(np.arange(1, most + 1) / count, RECALLS, side="left")
        means[size] = envelope[size][:, reached[reached < most]].sum(axis=1) / len(RECALLS)
    return means
