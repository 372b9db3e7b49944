"""How many of what: classes, sizes of pictures, sizes of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit.core.coco import LARGE, MEDIUM
from segkit.core.data.labels import Labels
from segkit.core.data.tracing import signed_area
from segkit.core.rle import decompress

if TYPE_CHECKING:
    from segkit.core.data.sample import Sample

SIDES = (320, 640, 960, 1280, 1920, 3840)
"""Longer sides of pictures, in pixels, at which the bars of their histogram begin and end."""

SHARES = (0.001, 0.01, 0.1, 0.5)
"""Shares of a picture's area at which the bars of their histogram begin and end."""

_SIDE_BARS = ("under 320", *(f"{a} to {b - 1}" for a, b in pairwise(SIDES)), "3840 and more")
_AREA_BARS = ("small", "medium", "large")
_SHARE_BARS = ("under 0.1 %", "0.1 to 1 %", "1 to 10 %", "10 to 50 %", "50 % and more")


@dataclass(frozen=True)
class ClassCount:
    """Objects of one class, and pictures that have at least one."""

    index: int
    name: str
    objects: int
    pictures: int


@dataclass(frozen=True)
class SplitFacts:
    """What is in one split.

    Attributes:
        split: its name.
        pictures: how many can be read.
        background: those without an object.
        objects: how many, crowds included.
        crowds: those that are a region with many objects.
        boxes: those of which only a box is labelled.
        dropped: rows that were left out.
        classes: every class of the data set, also those without objects.
        picture_sizes: pictures by their longer side in pixels.
        object_sizes: objects by area in pixels, as COCO divides them: under 32 x 32, under 96 x 96, larger.
        object_shares: objects by their share of the picture.
        smallest, median, largest: height and width of pictures, in order of their area; (0, 0) where there are none.
    """

    split: str
    pictures: int
    background: int
    objects: int
    crowds: int
    boxes: int
    dropped: int
    classes: tuple[ClassCount, ...]
    picture_sizes: Mapping[str, int]
    object_sizes: Mapping[str, int]
    object_shares: Mapping[str, int]
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]


def facts_of(split: str, samples: Sequence[Sample], names: Mapping[int, str]) -> SplitFacts:
    """Count what is in the samples of a split."""
    objects: Counter[int] = Counter()
    pictures: Counter[int] = Counter()
    for sample in samples:
        classes = sample.labels.classes.tolist()
        objects.update(classes)
        pictures.update(set(classes))
    areas = [areas_of(sample.labels, sample.size) for sample in samples]
    shares = [area / max(sample.size[0] * sample.size[1], 1) for area, sample in zip(areas, samples, strict=True)]
    sizes = sorted((sample.size for sample in samples), key=lambda size: (size[0] * size[1], size)) or [(0, 0)]
    return SplitFacts(
        split=split,
        pictures=len(samples),
        background=sum(not len(sample.labels) for sample in samples),
        objects=objects.total(),
        crowds=sum(int(sample.labels.crowd.sum()) for sample in samples),
        boxes=sum(not isinstance(shape, dict) and not shape for sample in samples for shape in sample.labels.shapes),
        dropped=sum(sample.dropped for sample in samples),
        classes=tuple(ClassCount(i, name, objects[i], pictures[i]) for i, name in names.items()),
        picture_sizes=_bars((max(sample.size) for sample in samples), SIDES, _SIDE_BARS),
        object_sizes=_bars(_joined(areas), (MEDIUM, LARGE), _AREA_BARS),
        object_shares=_bars(_joined(shares), SHARES, _SHARE_BARS),
        smallest=sizes[0],
        median=sizes[len(sizes) // 2],
        largest=sizes[-1],
    )


def areas_of(labels: Labels, size: tuple[int, int]) -> NDArray[np.float64]:
    """(N,) areas of objects in pixels of a picture of `size` (height, width): as the source says, else of the outlines
    (those that overlap count twice), of the mask, or of the box where there is nothing else.
    """
    areas = labels.areas.copy()
    pixels = size[0] * size[1]
    for i in np.flatnonzero(np.isnan(areas)):
        shape = labels.shapes[i]
        if isinstance(shape, dict):
            areas[i] = decompress(shape["counts"])[1::2].sum()
        elif shape:
            areas[i] = pixels * sum(abs(signed_area(part)) for part in shape)
        else:
            x1, y1, x2, y2 = labels.boxes[i].tolist()
            areas[i] = pixels * (x2 - x1) * (y2 - y1)
    return areas


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _bars(values: Iterable[float] | NDArray[np.float64], edges: Sequence[float], bars: Sequence[str]) -> dict[str, int]:
    """How many values are in each bar; one on an edge is in the bar above it."""
    places = np.searchsorted(edges, np.asarray(list(values), np.float64), side="right")
    return dict(zip(bars, np.bincount(places, minlength=len(bars)).tolist(), strict=True))
