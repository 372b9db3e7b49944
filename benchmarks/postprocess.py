"""Post-processing against a plain dense implementation, side by side in one run: python benchmarks/postprocess.py

The dense one does what is usual, well: all candidates against all in NMS, the logits of every object over the whole
map, each interpolated to the whole frame by OpenCV, then cut to its box. Both give the same masks, which is checked.
Ratios are what matters: they are taken in one process, in turns.

The scene is the crowded picture of the reference data at conf .05 where `../shared/reference` (SEGKIT_TEST_REFERENCE)
exists, else a made-up one; prototypes are smooth noise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors
from segkit.core.images import Letterbox
from segkit.core.inference import rle
from segkit.core.inference.decode import Detections, select
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.polygons import outlines

SIZE = (480, 640)
PICTURE = (1080, 1440)
LIMITS: dict[str, Any] = {"conf": 0.05, "iou": 0.7, "max_det": 300}
REFERENCE = Path(os.environ.get("SEGKIT_TEST_REFERENCE") or Path(__file__).parents[2] / "shared" / "reference")

Masks = NDArray[np.bool_]


def crowd() -> Anchors:
    """Raw outputs of a crowded picture."""
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((32, 15, 20)).astype(np.float32)
    prototypes = np.stack([cv2.resize(p, (SIZE[1] // 4, SIZE[0] // 4), interpolation=cv2.INTER_CUBIC) for p in coarse])
    if (REFERENCE / "nms.npz").exists():
        with np.load(REFERENCE / "nms.npz") as stored:
            return Anchors.from_joined(stored["pred_crowd"], prototypes[None])
    output0 = np.zeros((1, 116, 6300), np.float32)
    objects = rng.choice(6300, 700, replace=False)
    output0[0, :4, objects] = rng.random((700, 4)) * [600, 440, 40, 80] + [20, 20, 12, 24]
    output0[0, 4 + rng.integers(0, 80, 700), objects] = rng.random(700)
    output0[0, 84:, objects] = rng.standard_normal((700, 32))
    return Anchors.from_joined(output0, prototypes[None])


def dense_select(raw: Anchors) -> NDArray[np.int64]:
    """Anchors kept by NMS over a whole matrix of overlaps."""
    rows = raw.scores[0].T.copy()
    labels, best = rows.argmax(1), rows.max(1)
    anchors = np.flatnonzero(best > LIMITS["conf"])
    anchors = anchors[np.argsort(-best[anchors], kind="stable")]
    centre, half = raw.boxes[0, :2, anchors], raw.boxes[0, 2:, anchors] / 2
    low, high = centre - half, centre + half
    sides = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None)
    shared, area = sides.prod(2), (high - low).prod(1)
    falls = (shared / (area[:, None] + area - shared) > LIMITS["iou"]) & (labels[anchors][:, None] == labels[anchors])
    alive = np.ones(len(anchors), bool)
    for index in range(len(anchors)):
        if alive[index]:
            alive[index + 1 :] &= ~falls[index, index + 1 :]
    kept: NDArray[np.int64] = anchors[alive][: LIMITS["max_det"]]
    return kept


def dense_masks(prototypes: NDArray[np.float32], found: Detections, box: Letterbox, native: bool) -> Masks:
    """Every object over the whole frame (a border of whole samples only)."""
    low = prototypes.shape[1:]
    logits = (found.coefficients @ prototypes.reshape(len(prototypes), -1)).reshape(-1, *low)
    size, boxes = (box.source, box.to_source(found.xyxy)) if native else (box.target, found.xyxy)
    if native:
        logits = logits[:, box.top // 4 : low[0] - box.bottom // 4, box.left // 4 : low[1] - box.right // 4]
    out = np.zeros((len(found), *size), np.bool_)
    for canvas, values, xyxy in zip(out, logits, boxes, strict=True):
        x1, y1, x2, y2 = np.ceil(np.maximum(xyxy, 0)).astype(int)
        inside = slice(y1, y2), slice(x1, x2)
        canvas[inside] = (cv2.resize(np.ascontiguousarray(values), size[::-1]) > 0)[inside]
    return out[out.any(axis=(1, 2))]


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 30) -> None:
    """Print the best time of each, taken in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    mine, other = (min(taken) * 1e3 for taken in times)
    line(what, mine, other, "ms")


def line(what: str, mine: float, other: float, unit: str) -> None:
    """Print one comparison."""
    print(f"{what:32s} {mine:9.2f} {unit} {other:9.2f} {unit}   {other / mine:6.1f} x")


def looked_at(masks: InstanceMasks, how: Callable[[InstanceMasks, int], Any]) -> list[Any]:
    """Every object's mask in some form."""
    return [how(masks, index) for index in range(len(masks))]


def compare_masks(prototypes: NDArray[np.float32], found: Detections, native: bool) -> None:
    """All that can be asked of masks, in one convention."""
    box = Letterbox.fit(PICTURE, SIZE)
    name = "native" if native else "network"

    def ours() -> InstanceMasks:
        return InstanceMasks.from_prototypes(prototypes, found, box, native)[0]

    def theirs() -> Masks:
        return dense_masks(prototypes, found, box, native)

    masks, dense = ours(), theirs()
    differing = np.count_nonzero(masks.dense() != dense)
    assert differing <= 20, f"{differing} pixels differ"  # where a logit is about zero
    compare(f"{name}: masks, not looked at", ours, theirs)
    compare(f"{name}: masks, all pixels", lambda: looked_at(ours(), InstanceMasks.crop), theirs)
    compare(
        f"{name}: masks and outlines",
        lambda: looked_at(ours(), InstanceMasks.polygons),
        lambda: [outlines(mask, 0, 0) for mask in theirs()],
    )
    if native:
        compare(
            f"{name}: masks and run lengths",
            lambda: looked_at(ours(), InstanceMasks.rle),
            lambda: [rle.encode(mask, 0, 0, box.source) for mask in theirs()],
        )
    line(f"{name}: memory held", masks.nbytes / 1e6, dense.nbytes / 1e6, "MB")


def main() -> None:
    """Print one line a stage: ours, the dense one, and how many times faster ours is."""
    raw = crowd()
    (found,) = select(raw, **LIMITS)
    assert np.array_equal(found.anchors, dense_select(raw))
    print(f"{len(found)} objects, input {SIZE[0]}x{SIZE[1]}, picture {PICTURE[0]}x{PICTURE[1]}")
    print(f"{'':32s} {'segkit':>12s} {'dense':>12s}   {'ratio':>8s}")
    compare("select", lambda: select(raw, **LIMITS), lambda: dense_select(raw))
    for native in (False, True):
        compare_masks(raw.prototypes[0], found, native)


if __name__ == "__main__":
    main()
