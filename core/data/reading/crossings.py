"""Outlines that cross themselves: what a slip of the hand while labelling makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Outline
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.yolo import SUFFIX
from segkit.core.data.sample import Sample

_BLOCK = 1 << 18
"""Pairs of sides that are looked at together."""

_MOST = 1 << 28
"""Pairs after which an outline passes as one that does not cross itself: it takes a million corners to come there."""

_Sides = NDArray[np.float64]


def crosses_itself(outline: Outline) -> bool:
    """Whether two sides of an outline (K, 2) cross. Touching is no crossing: parts that were joined by a line do."""
    start = outline.astype(np.float64)
    end = np.roll(start, -1, axis=0)
    order, counts = min((_near(start, end, axis) for axis in (0, 1)), key=lambda near: int(near[1].sum()))
    start, end, ends = start[order], end[order], np.cumsum(counts)
    done = row = 0
    while row < len(order) and done < _MOST:
        last = max(int(np.searchsorted(ends, done + _BLOCK, "right")), row + 1)
        one = np.repeat(np.arange(row, last), counts[row:last])
        other = one + 1 + np.arange(len(one)) - (ends - counts)[one] + done
        apart = _apart(start[one], end[one], start[other], end[other])
        if (apart & _apart(start[other], end[other], start[one], end[one])).any():
            return True
        row, done = last, int(ends[last - 1])
    return False


def _near(start: _Sides, end: _Sides, axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sides in order of where they begin along an axis, and how many of those behind each begin before it ends."""
    low, high = np.minimum(start[:, axis], end[:, axis]), np.maximum(start[:, axis], end[:, axis])
    order = np.argsort(low, kind="stable")
    behind = np.arange(1, len(order) + 1)
    return order, np.maximum(np.searchsorted(low[order], high[order], "left"), behind) - behind


def _apart(start: _Sides, end: _Sides, one: _Sides, other: _Sides) -> NDArray[np.bool_]:
    """Whether two points are on different sides of the line from `start` to `end`; all are (N, 2), row by row."""
    apart: NDArray[np.bool_] = _hand(start, end, one) * _hand(start, end, other) < 0
    return apart


def _hand(start: _Sides, end: _Sides, point: _Sides) -> NDArray[np.float64]:
    """On which side of a line a point is: -1, 0, 1."""
    side, to = end - start, point - start
    return np.sign(side[:, 0] * to[:, 1] - side[:, 1] * to[:, 0])


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
