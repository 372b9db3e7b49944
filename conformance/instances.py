"""The objects of two models in one picture, matched one to one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.conformance.assignment import assign
from segkit.core.backend import Anchors, Selected
from segkit.core.images import Letterbox
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import select_by
from segkit.core.inference.masks import InstanceMasks

SAME_OBJECT = 0.5
"""Least mask IoU of two detections that are taken for the same object."""

NEAR = 0.01
"""An unmatched object whose score is less than this above the threshold may just have slipped below it elsewhere."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The objects of one model in one picture, best first.

    Attributes:
        xyxy: (N, 4) boxes in picture pixels.
        scores: (N,) 0..1.
        classes: (N,).
        masks: in picture pixels.
    """

    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: InstanceMasks

    @classmethod
    def of(cls, raw: Anchors | Selected, index: int, letterbox: Letterbox, args: PredictArguments) -> Seen:
        """What `raw` says about picture `index` of its batch, by the thresholds of `args`."""
        found = select_by(raw, args)[index]
        masks, kept = InstanceMasks.from_prototypes(raw.prototypes[index], found, letterbox, native=True)
        found = found[kept]
        return cls(letterbox.to_source(found.xyxy), found.confidence, found.classes, masks)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.scores)

    @cached_property
    def crops(self) -> list[tuple[NDArray[np.bool_], int, int]]:
        """The masks inside their boxes, made once: each meets several others."""
        return [self.masks.crop(index) for index in range(len(self))]


@dataclass(frozen=True)
class Pair:
    """One object as two models see it.

    Attributes:
        reference, other: its index in each.
        mask_iou, box_iou: overlap, 0..1.
        shift: largest distance of two sides of the boxes, in picture pixels.
        score: the other's score minus the reference's.
    """

    reference: int
    other: int
    mask_iou: float
    box_iou: float
    shift: float
    score: float


@dataclass(frozen=True)
class Matching:
    """What became of the objects of one picture.

    Attributes:
        pairs: objects that both see.
        missing: indices of those that only the reference sees.
        extra: indices of those that only the other sees.
        near_missing, near_extra: the same for objects with a score close above the threshold, counted apart.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[int, ...]
    extra: tuple[int, ...]
    near_missing: tuple[int, ...]
    near_extra: tuple[int, ...]


def match(reference: Seen, other: Seen, conf: float, near: float = NEAR) -> Matching:
    """One-to-one matching of objects of the same class by mask IoU, with the largest sum of overlaps.

    Args:
        reference: what one model sees.
        other: what another one sees in the same picture.
        conf: threshold of the scores.
        near: how far above it a score is near it, see `NEAR`.
    """
    overlaps = _overlaps(reference, other)
    boxes = box_iou(reference.xyxy, other.xyxy)
    pairs = []
    for one, two in assign(overlaps):
        if overlaps[one, two] > 0:
            shift = float(np.abs(reference.xyxy[one] - other.xyxy[two]).max())
            score = float(other.scores[two]) - float(reference.scores[one])
            pairs.append(Pair(one, two, float(overlaps[one, two]), float(boxes[one, two]), shift, score))
    missing = sorted(set(range(len(reference))) - {pair.reference for pair in pairs})
    extra = sorted(set(range(len(other))) - {pair.other for pair in pairs})
    far_missing, near_missing = _by_score(missing, reference, conf + near)
    far_extra, near_extra = _by_score(extra, other, conf + near)
    return Matching(tuple(pairs), far_missing, far_extra, near_missing, near_extra)


def box_iou(ones: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) boxes x1, y1, x2, y2 to (N, M) overlaps; 0 where there is no area."""
    left, right = ones[:, None].astype(np.float64), others[None].astype(np.float64)
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    shared = sides.clip(0).prod(-1)
    union = (left[..., 2:] - left[..., :2]).prod(-1) + (right[..., 2:] - right[..., :2]).prod(-1) - shared
    overlaps: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def mask_iou(one: tuple[NDArray[np.bool_], int, int], other: tuple[NDArray[np.bool_], int, int]) -> float:
    """Overlap of two masks inside their boxes: (mask, top, left) each; 0 where both are empty."""
    (mask, top, left), (second, second_top, second_left) = one, other
    y1, x1 = max(top, second_top), max(left, second_left)
    y2 = min(top + mask.shape[0], second_top + second.shape[0])
    x2 = min(left + mask.shape[1], second_left + second.shape[1])
    shared = 0
    if y2 > y1 and x2 > x1:
        window = second[y1 - second_top : y2 - second_top, x1 - second_left : x2 - second_left]
        shared = int(np.count_nonzero(mask[y1 - top : y2 - top, x1 - left : x2 - left] & window))
    union = int(np.count_nonzero(mask)) + int(np.count_nonzero(second)) - shared
    return shared / union if union else 0.0


def _overlaps(reference: Seen, other: Seen) -> NDArray[np.float64]:
    """(N, M) mask IoU of what may be the same object; 0 for the rest."""
    found = np.zeros((len(reference), len(other)))
    touching = box_iou(reference.xyxy, other.xyxy) > 0
    for one, two in np.argwhere(touching & (reference.classes[:, None] == other.classes)).tolist():
        overlap = mask_iou(reference.crops[one], other.crops[two])
        found[one, two] = overlap if overlap >= SAME_OBJECT else 0.0
    return found


def _by_score(indices: list[int], seen: Seen, below: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(clearly above the threshold, close above it)."""
    near = {index for index in indices if seen.scores[index] < below}
    return tuple(index for index in indices if index not in near), tuple(sorted(near))
