"""One picture, scored: everything that the totals need of it, in little memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.masks import Masks, masks_of
from segkit.core.metrics.matching import EDGES, THRESHOLDS, Flags, Floats, Matched, match, outside
from segkit.core.metrics.overlap import box_areas, box_overlaps, mask_overlaps
from segkit.core.metrics.records import Found, Truth

_BITS = 1 << np.arange(len(THRESHOLDS), dtype=np.uint16)


@dataclass(frozen=True, eq=False)
class Scored:
    """What is kept of a picture's N detections, in descending order of confidence: 50 bytes each.

    Attributes:
        confidence: (N,) float64.
        classes: (N,) int32.
        rank: (N,) uint8, how many of the same class come before; 255 and more are one.
        right, wrong: (N, K, lanes) uint16, a bit a threshold; see `matching.Matched`.
    """

    confidence: Floats
    classes: NDArray[np.int32]
    rank: NDArray[np.uint8]
    right: NDArray[np.uint16]
    wrong: NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Compared:
    """A picture's N detections, in descending order of confidence, beside its M objects: not kept.

    Attributes:
        confidence, classes: (N,).
        overlaps: (K, N, M) IoU, by boxes and, where there are masks, by masks.
        areas: (K, N) pixels of the detections.
        sizes: (M,) pixels of the objects.
    """

    confidence: Floats
    classes: NDArray[np.int64]
    overlaps: Floats
    areas: Floats
    sizes: Floats


def compare(found: Found, truth: Truth, masks: bool, conf: float, least: float) -> Compared:
    """Work out the overlaps: by masks only of equal classes or from a confidence of `conf`, and from `least` on."""
    order = np.argsort(-found.confidence, kind="stable")
    confidence, classes, boxes = found.confidence[order], found.classes[order], found.boxes[order]
    overlaps, areas, sizes = (
        [box_overlaps(boxes, truth.boxes, truth.crowds)],
        [box_areas(boxes)],
        box_areas(truth.boxes),
    )
    theirs = _truth_masks(found, truth)
    if theirs is not None:
        sizes = theirs.areas(np.arange(len(truth)))
    if masks:
        wanted = (classes[:, None] == truth.classes) | (confidence > conf)[:, None]
        known, crowds = theirs or masks_of(()), truth.crowds
        by_mask, pixels = mask_overlaps(masks_of(found.masks or ()), order, known, crowds, wanted, least, EDGES)
        overlaps.append(by_mask)
        areas.append(pixels)
    sizes = np.where(np.isnan(truth.sizes), sizes, truth.sizes)
    return Compared(confidence, classes, np.stack(overlaps), np.stack(areas), sizes)


def _truth_masks(found: Found, truth: Truth) -> Masks | None:
    if truth.masks is None or not len(truth):
        return None
    if isinstance(found.masks, Masks):
        return masks_of(truth.masks, found.masks.size)
    return masks_of(truth.masks, found.masks[0]["size"] if found.masks else None)


def score(compared: Compared, truth: Truth) -> tuple[Scored, Flags]:
    """What is kept of a picture, and which of its objects each lane counts: (lanes, M)."""
    ignored = np.vstack([truth.crowds | outside(compared.sizes), np.zeros((1, len(truth)), np.bool_)])
    matched = match(compared.overlaps, compared.classes, compared.areas, truth.classes, truth.crowds, ignored)
    scored = Scored(
        compared.confidence,
        compared.classes.astype(np.int32),
        np.minimum(_ranks(compared.classes), 255).astype(np.uint8),
        *_packed(matched),
    )
    return scored, ~ignored & ~truth.crowds


def _ranks(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many of the same class come before each."""
    order = np.argsort(classes, kind="stable")
    _, counts = np.unique(classes, return_counts=True)
    ranks = np.empty(len(classes), np.int64)
    ranks[order] = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _packed(matched: Matched) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    return matched.right @ _BITS, matched.wrong @ _BITS


def unpacked(bits: NDArray[np.uint16]) -> Flags:
    """(..., T) bool of (...) bits."""
    flags: Flags = (bits[..., None] & _BITS) > 0
    return flags
