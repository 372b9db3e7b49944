"""A scan as a few flat arrays and a text, and back: what its cache file holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import NOTHING, Labels, Shape
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.sample import Sample, Scan

_RUNS = -1
"""In the place of the number of a shape's parts: it is run lengths."""


def pack(scan: Scan) -> tuple[dict[str, Any], dict[str, Any]]:
    """What JSON can say of a scan, and the arrays."""
    labels = [sample.labels for sample in scan.samples]
    shapes = [shape for each in labels for shape in each.shapes]
    outlines = [outline for shape in shapes if isinstance(shape, tuple) for outline in shape]
    said = {
        "pictures": [[str(s.path), s.image_id, str(s.label) if s.label else None, s.dropped] for s in scan.samples],
        "problems": [[str(p.kind), str(p.path), p.words, p.line, p.dropped] for p in scan.problems],
        "names": list(scan.names.items()) if scan.names is not None else None,
        "category_ids": list(scan.category_ids.items()) if scan.category_ids is not None else None,
        "runs": [shape for shape in shapes if isinstance(shape, dict)],
    }
    arrays = {
        "sizes": np.array([sample.size for sample in scan.samples], np.int64).reshape(-1, 2),
        "counts": np.array([len(each) for each in labels], np.int64),
        "classes": _joined([each.classes for each in labels], NOTHING.classes),
        "boxes": _joined([each.boxes for each in labels], NOTHING.boxes),
        "crowd": _joined([each.crowd for each in labels], NOTHING.crowd),
        "areas": _joined([each.areas for each in labels], NOTHING.areas),
        "parts": np.array([len(s) if isinstance(s, tuple) else _RUNS for s in shapes], np.int64),
        "lengths": np.array([len(outline) for outline in outlines], np.int64),
        "points": _joined(outlines, np.empty((0, 2), np.float32)),
    }
    return said, arrays


def unpack(said: Mapping[str, Any], archive: Mapping[str, NDArray[Any]]) -> Scan:
    """The scan again.

    Raises:
        ValueError, KeyError, TypeError, IndexError: the parts do not fit each other.
    """
    arrays = {name: archive[name] for name in ("sizes", "counts", "classes", "boxes", "crowd", "areas")}
    shapes = _shapes(said["runs"], *(archive[name] for name in ("parts", "lengths", "points")))
    ends = np.cumsum(arrays["counts"]).tolist()
    if not len(arrays["sizes"]) == len(ends) == len(said["pictures"]) or (ends and ends[-1] != len(shapes)):
        raise ValueError("parts do not fit each other")
    samples = []
    start = 0
    for (path, number, label, dropped), size, end in zip(said["pictures"], arrays["sizes"].tolist(), ends, strict=True):
        fields = {name: arrays[name][start:end] for name in ("classes", "boxes", "crowd", "areas")}
        labels = Labels(shapes=tuple(shapes[start:end]), **fields) if end > start else NOTHING
        height, width = size
        samples.append(Sample(Path(path), (height, width), labels, number, Path(label) if label else None, dropped))
        start = end
    problems = [
        Problem(Kind(kind), Path(path), words, line, dropped) for kind, path, words, line, dropped in said["problems"]
    ]
    return Scan(samples, problems, _mapping(said["names"]), _mapping(said["category_ids"]))


def _joined(arrays: list[NDArray[Any]], none: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else none


def _shapes(
    runs: list[Any], parts: NDArray[np.int64], lengths: NDArray[np.int64], points: NDArray[np.float32]
) -> list[Shape]:
    ends = np.cumsum(lengths).tolist()
    outlines = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    left = iter(runs)
    shapes: list[Shape] = []
    place = 0
    for count in parts.tolist():
        if count == _RUNS:
            shapes.append(next(left))
        else:
            shapes.append(tuple(outlines[place : place + count]))
            place += count
    return shapes


def _mapping(items: list[list[Any]] | None) -> dict[int, Any] | None:
    return dict(map(tuple, items)) if items is not None else None
