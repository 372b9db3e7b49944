"""Objects of many pictures as two models see them, in figures that bounds can be held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.conformance.instances import Matching, Pair, Seen, match
from segkit.conformance.tolerance import CROSSING
from segkit.core.backend import Anchors, Precision, Selected
from segkit.core.images import ImageBatch
from segkit.core.inference.arguments import PredictArguments

CONF = 0.25
"""Threshold of the scores: that of prediction."""

BOUNDARY = 0.02
"""Width of a mask's boundary, in terms of the picture's diagonal (Cheng et al., Boundary IoU, CVPR 2021)."""

Crop = tuple[NDArray[np.bool_], int, int]
"""A mask inside its box: pixels, top, left."""


class Value(NamedTuple):
    """One figure."""

    name: str
    value: float
    unit: str = ""


@dataclass
class Tally:
    """What became of the objects of the reference, over all pictures so far."""

    matched: int = 0
    missing: int = 0
    extra: int = 0
    near: int = 0
    mask_ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    boxes: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    worst: tuple[float, int] = (2.0, 0)
    """How well the picture that differs most agrees, and its number."""

    def add(self, number: int, matching: Matching, one: Seen, other: Seen, scale: float) -> None:
        """Count picture `number`; `scale` is input pixels per picture pixel."""
        self.matched += len(matching.pairs)
        self.missing += len(matching.missing)
        self.extra += len(matching.extra)
        self.near += len(matching.near_missing) + len(matching.near_extra)
        for pair in matching.pairs:
            self.mask_ious.append(pair.mask_iou)
            self.boxes.append(pair.shift * scale)
            self.scores.append(abs(pair.score))
            self.boundary_ious.append(_boundary_of(pair, one, other))
        agreed = min((pair.mask_iou for pair in matching.pairs), default=1.0)
        agreed -= len(matching.missing) + len(matching.extra)
        self.worst = min(self.worst, (agreed, number))

    def values(self) -> Iterator[Value]:
        """Every figure, by the names that bounds have."""
        total = self.matched + self.missing + self.extra
        yield Value("match", self.matched / total if total else 1.0)
        yield Value("objects", self.matched)
        yield Value("objects near the threshold", self.near)
        if self.matched:
            yield Value("mask IoU", min(self.mask_ious))
            yield Value("mean mask IoU", float(np.mean(self.mask_ious)))
            yield Value("mean boundary IoU", float(np.mean(self.boundary_ious)))
            yield Value("box", max(self.boxes), "px")
            yield Value("score", max(self.scores))


def tally(got: Anchors | Selected, wanted: Anchors, batch: ImageBatch, precision: Precision) -> Tally:
    """Match the objects of every picture of a batch; a score may cross the threshold by what `precision` explains."""
    found = Tally()
    for number, letterbox in enumerate(batch.geometry):
        one, other = seen_in(wanted, batch, number), seen_in(got, batch, number)
        found.add(number, match(one, other, CONF, CROSSING[precision]), one, other, max(letterbox.scale))
    return found


def seen_in(raw: Anchors | Selected, batch: ImageBatch, number: int) -> Seen:
    """What outputs say about one picture."""
    return Seen.of(raw, number, batch.geometry[number], PredictArguments.model_validate({"conf": CONF}))


def boundary_iou(one: Crop, other: Crop, width: int) -> float:
    """Overlap of the parts of two masks that are at most `width` pixels from their outlines."""
    top, left = min(one[1], other[1]), min(one[2], other[2])
    bottom = max(crop[1] + crop[0].shape[0] for crop in (one, other))
    right = max(crop[2] + crop[0].shape[1] for crop in (one, other))
    rims: list[NDArray[np.bool_]] = []
    for mask, y, x in (one, other):
        # A frame of nothing: the border of a picture is an outline, too.
        whole = np.zeros((bottom - top + 2, right - left + 2), np.uint8)
        whole[y - top + 1 : y - top + 1 + mask.shape[0], x - left + 1 : x - left + 1 + mask.shape[1]] = mask
        inner = cv2.erode(whole, np.ones((3, 3), np.uint8), iterations=max(width, 1))
        rims.append((whole - inner) > 0)
    union = np.count_nonzero(rims[0] | rims[1])
    return float(np.count_nonzero(rims[0] & rims[1]) / union) if union else 1.0


def _boundary_of(pair: Pair, one: Seen, other: Seen) -> float:
    width = round(BOUNDARY * float(np.hypot(*one.masks.frame)))
    return boundary_iou(one.crops[pair.reference], other.crops[pair.other], width)
