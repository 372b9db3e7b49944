"""Outlines that cross themselves: what a slip of the hand while labelling makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segkit.core.data.labels import Outline
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.yolo import SUFFIX
from segkit.core.data.sample import Sample

_BLOCK = 1 << 20
"""Pairs of a side and a corner that are looked at together."""


def crosses_itself(outline: Outline) -> bool:
    """Whether two sides of an outline (K, 2) cross. Touching is no crossing: parts that were joined by a line do."""
    points = outline.astype(np.float64)
    count = len(points)
    sides = np.roll(points, -1, axis=0) - points
    ahead = np.empty((count, count), np.int8)  # on which side of side i corner j is: -1, 0, 1
    for start in range(0, count, rows := max(_BLOCK // max(count, 1), 1)):
        side, corner = sides[start : start + rows, None], points[None] - points[start : start + rows, None]
        ahead[start : start + rows] = np.sign(side[..., 0] * corner[..., 1] - side[..., 1] * corner[..., 0])
    apart = ahead * np.roll(ahead, -1, axis=1) < 0  # the ends of side j are on different sides of side i
    return bool((apart & apart.T).any())


def self_intersections(samples: Iterable[Sample], problems: Iterable[Problem] = ()) -> list[Problem]:
    """A problem for every outline that crosses itself; it is used all the same.

    Args:
        samples: as a reader gave them, with all their classes.
        problems: what the reader found: a line that it left out is not counted when a problem names its line.
    """
    dropped: dict[Path, set[int]] = {}
    for problem in problems:
        if problem.line and problem.dropped:
            dropped.setdefault(problem.path, set()).add(problem.line)
    found = []
    for sample in samples:
        crossing = [
            index
            for index, shape in enumerate(sample.labels.shapes)
            if isinstance(shape, tuple) and any(map(crosses_itself, shape))
        ]
        path = sample.label or sample.path
        lines = _lines(path, dropped.get(path, set())) if crossing else []
        for index in crossing:
            words = "its outline crosses itself"
            if index < len(lines):
                found.append(Problem(Kind.SELF_INTERSECTION, path, words, lines[index]))
            else:
                words = f"object {index + 1} of picture {sample.image_id}: {words}"
                found.append(Problem(Kind.SELF_INTERSECTION, path, words))
    return found


def _lines(path: Path, dropped: set[int]) -> list[int]:
    """Numbers of the lines that objects come from; none where they come from no lines."""
    if path.suffix != SUFFIX:
        return []
    try:
        texts = path.read_bytes().splitlines()
    except OSError:
        return []
    return [line for line, text in enumerate(texts, 1) if text.strip() and line not in dropped]
