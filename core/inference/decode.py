"""From raw tensors to detections: score threshold, best classes, suppression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, Selected
from segkit.core.backend.options import MAX_CANDIDATES
from segkit.core.inference.nms import suppress

if TYPE_CHECKING:
    from segkit.core.inference.arguments import PredictArguments


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one picture, best first. None of the arrays is a view on the network's outputs.

    Attributes:
        xyxy: (N, 4) float32, network input pixels, not clipped.
        confidence: (N,) float32.
        classes: (N,) int64.
        coefficients: (N, nm) float32 mask coefficients.
        anchors: (N,) int64 columns of the raw tensor; -1 where selection happened inside the graph.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    classes: NDArray[np.int64]
    coefficients: NDArray[np.float32]
    anchors: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.confidence)

    def __getitem__(self, index: NDArray[Any] | slice) -> Detections:
        """Some of them, by a slice, an index array or a mask."""
        return Detections(
            self.xyxy[index], self.confidence[index], self.classes[index], self.coefficients[index], self.anchors[index]
        )


def select_by(
    raw: Anchors | Selected, args: PredictArguments, *, max_det: int | None = None, multi_label: bool = False
) -> list[Detections]:
    """As `select`, by the thresholds, classes and limit of `args`, or by another limit."""
    return select(
        raw,
        conf=args.conf,
        iou=args.iou,
        max_det=args.max_det if max_det is None else max_det,
        classes=args.classes,
        agnostic=args.agnostic_nms,
        multi_label=multi_label,
    )


def select(
    raw: Anchors | Selected,
    *,
    conf: float,
    iou: float,
    max_det: int,
    classes: Iterable[int] | None = None,
    agnostic: bool = False,
    multi_label: bool = False,
    max_candidates: int = MAX_CANDIDATES,
) -> list[Detections]:
    """Detections of each picture of a batch.

    Equal scores are ordered by anchor, then by class, so that the result depends on the values alone. A score or a box
    that is not a finite number is never selected.

    What a graph selected (`Selected`) is selected once more, so that limits tighter than those in the graph hold. That
    is what the tighter limits alone would have given, with three exceptions. A lower `iou`, or `agnostic` on top, drops
    boxes but does not bring back those that fell in the graph to a box that falls only now. A graph that filled its own
    `max_det` has no further objects of the `classes` wanted. And where boxes of different classes compete in the graph,
    one of a class that is not wanted can have suppressed one that is.

    Args:
        raw: outputs of a predictor, any strides; read only.
        conf: least score, strict.
        iou: overlap above which the lower of two boxes falls, strict.
        max_det: most detections a picture.
        classes: keep only these class indices.
        agnostic: boxes of different classes compete too.
        multi_label: every class of an anchor above `conf` is a candidate (as validation wants), not only its best one;
            without effect on `Selected`.
        max_candidates: most candidates that enter suppression.
    """
    wanted = None if classes is None else np.fromiter(classes, np.int64)
    if isinstance(raw, Selected):
        fields = zip(raw.xyxy, raw.confidence, raw.classes, raw.coefficients, strict=True)
        return [_selected(*picture, np.float32(conf), wanted, iou, max_det, agnostic) for picture in fields]
    found = []
    for boxes, scores, coefficients in zip(raw.boxes, raw.scores, raw.coefficients, strict=True):
        confidence, labels, anchors = _candidates(boxes, scores, np.float32(conf), wanted, multi_label, max_candidates)
        xyxy = _corners(boxes[:, anchors])
        kept = suppress(xyxy, None if agnostic else labels, iou, max_det)
        anchors = anchors[kept]
        found.append(Detections(xyxy[kept], confidence[kept], labels[kept], _rows(coefficients[:, anchors]), anchors))
    return found


def _candidates(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    conf: np.float32,
    wanted: NDArray[np.int64] | None,
    multi_label: bool,
    limit: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Scores, classes and anchors above the threshold, best first, at most `limit`."""
    # One pass over all the scores; whatever follows touches only the few columns that hold a candidate. fmax skips NaN.
    best = np.fmax.reduce(scores, axis=0)
    anchors = np.flatnonzero(best > conf)
    columns = scores[:, anchors]
    if multi_label:
        index, labels = np.nonzero((columns > conf).T)
        anchors, confidence = anchors[index], columns[labels, index]
    else:
        confidence = best[anchors]
        labels = np.argmax(columns == confidence, axis=0)
    order = _best_first(confidence, labels, boxes[:, anchors].T, conf, wanted)[:limit]
    return confidence[order], labels[order], anchors[order]


def _selected(
    xyxy: NDArray[np.float32],
    confidence: NDArray[np.float32],
    labels: NDArray[np.int64],
    coefficients: NDArray[np.float32],
    conf: np.float32,
    wanted: NDArray[np.int64] | None,
    iou: float,
    max_det: int,
    agnostic: bool,
) -> Detections:
    """What a graph selected, under the user's limits, which may be tighter than those in the graph."""
    order = _best_first(confidence, labels, xyxy, conf, wanted)
    order = order[suppress(_rows(xyxy[order].T), None if agnostic else labels[order], iou, max_det)]
    return Detections(
        _rows(xyxy[order].T),
        confidence[order].astype(np.float32, copy=False),
        labels[order].astype(np.int64, copy=False),
        _rows(coefficients[order].T),
        np.full(len(order), -1, np.int64),
    )


def _best_first(
    confidence: NDArray[np.float32],
    labels: NDArray[np.int64],
    boxes: NDArray[np.float32],
    conf: np.float32,
    wanted: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Places of those above the threshold that are finite numbers and of a wanted class; equal scores stay in order."""
    usable = (confidence > conf) & np.isfinite(confidence) & np.isfinite(boxes).all(axis=1)
    if wanted is not None:
        usable &= np.isin(labels, wanted)
    order = np.argsort(-confidence, kind="stable")
    chosen: NDArray[np.int64] = order[usable[order]]
    return chosen


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, n) centre x, centre y, width, height to (n, 4) x1, y1, x2, y2."""
    centre, half = boxes[:2], boxes[2:] / 2
    return _rows(np.concatenate([centre - half, centre + half]))


def _rows(columns: NDArray[Any]) -> NDArray[np.float32]:
    """(k, n) to (n, k), contiguous float32."""
    return np.ascontiguousarray(columns.T, np.float32)
