"""Suppression of overlapping boxes as Core ML documents it (`non_maximum_suppression`, iOS 15)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def non_maximum_suppression(
    boxes: Array,
    scores: Array,
    iou_threshold: Array,
    score_threshold: Array,
    max_boxes: Array,
    per_class_suppression: Array | bool = False,
) -> tuple[Array, Array, Array, Array]:
    """The best boxes of each picture that no better one overlaps too much; equal scores go by place.

    Core ML does not say what it pads with: zeros here, and -1 for places, so that a program which relies on them shows.

    Args:
        boxes: (B, N, 4) centre x, centre y, width, height.
        scores: (B, N, K) of K classes.
        iou_threshold: the lower of two boxes falls where their overlap is above it.
        score_threshold: boxes whose best score is below it are left out.
        max_boxes: how many are selected at most.
        per_class_suppression: only boxes of the same best class compete.

    Returns:
        (B, max_boxes, 4) boxes, (B, max_boxes, K) scores, (B, max_boxes) places, (B,) how many there are.
    """
    limit, (batch, _, classes) = int(max_boxes), scores.shape
    kept_boxes = np.zeros((batch, limit, 4), boxes.dtype)
    kept_scores = np.zeros((batch, limit, classes), scores.dtype)
    places = np.full((batch, limit), -1, np.int32)
    counts = np.zeros(batch, np.int32)
    for number in range(batch):
        best, label = scores[number].max(1), scores[number].argmax(1)
        order = np.argsort(-best, kind="stable")
        order = order[best[order] >= score_threshold]
        groups = label[order] if bool(per_class_suppression) else np.zeros(len(order), np.int64)
        kept = order[_greedy(boxes[number, order], groups, np.float32(iou_threshold), limit)]
        counts[number] = count = len(kept)
        kept_boxes[number, :count], kept_scores[number, :count] = boxes[number, kept], scores[number, kept]
        places[number, :count] = kept
    return kept_boxes, kept_scores, places, counts


def _greedy(boxes: Array, groups: Array, iou: np.float32, limit: int) -> list[int]:
    """Places of the survivors among boxes (N, 4), best first."""
    half = boxes[:, 2:] / 2
    low, high = boxes[:, :2] - half, boxes[:, :2] + half
    areas = (high - low).prod(1)
    alive = np.ones(len(boxes), bool)
    kept: list[int] = []
    for place in range(len(boxes)):
        if len(kept) == limit:
            break
        if not alive[place]:
            continue
        kept.append(place)
        rest = slice(place + 1, None)
        sides = np.minimum(high[place], high[rest]) - np.maximum(low[place], low[rest])
        shared = np.maximum(sides, 0).prod(1)
        union = areas[rest] + areas[place] - shared
        alive[rest] &= (shared <= iou * union) | (groups[rest] != groups[place])
    return kept
