"""From raw outputs to polygons in a crowded picture, against the peer and a plain dense way: postprocess.py

The dense way does what is usual, well: all candidates against all in NMS, the logits of every object over the whole
map, each interpolated to the whole frame by OpenCV, then cut to its box. Both give the same masks, which is checked.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from common import CROWD, THREADS, Options, in_turns, options, peer_absent, peer_of, row, title
from numpy.typing import NDArray

from segkit import YOLO
from segkit.core.backend import Anchors
from segkit.core.images import ImageBatch, Letterbox
from segkit.core.images.reading import read_picture
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import Detections, select
from segkit.core.inference.masks import InstanceMasks
from segkit.core.polygons import join, outlines

LIMITS: dict[str, Any] = {"conf": 0.05, "iou": 0.7, "max_det": 300}
Masks = NDArray[np.bool_]


def raw_outputs(given: Options) -> tuple[Anchors, Letterbox]:
    """What the network says of the picture."""
    session = YOLO(given.model)._session(PredictArguments(threads=THREADS))
    batch = ImageBatch([read_picture(CROWD)], (640, 640))
    raw, _ = session.compute(batch)
    assert isinstance(raw, Anchors)
    return raw, batch.geometry[0]


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


def stages(raw: Anchors, box: Letterbox, native: bool) -> dict[str, Any]:
    """Ours and the dense way, whole: selection, masks, polygons."""
    prototypes = raw.prototypes[0]

    def ours() -> list[Any]:
        (found,) = select(raw, **LIMITS)
        masks, _ = InstanceMasks.from_prototypes(prototypes, found, box, native)
        return [masks.polygon(index) for index in range(len(masks))]

    def dense() -> list[Any]:
        dense_select(raw)
        (found,) = select(raw, **LIMITS)  # the dense selection gives indices alone; this costs it little
        return [join(outlines(mask, 0, 0)) for mask in dense_masks(prototypes, found, box, native)]

    return {"segkit": ours, "dense": dense}


def check(raw: Anchors, box: Letterbox) -> int:
    """Both ways see the same; gives the number of objects."""
    (found,) = select(raw, **LIMITS)
    assert np.array_equal(found.anchors, dense_select(raw))
    for native in (False, True):
        masks, _ = InstanceMasks.from_prototypes(raw.prototypes[0], found, box, native)
        differing = np.count_nonzero(masks.dense() != dense_masks(raw.prototypes[0], found, box, native))
        assert differing <= 20, f"{differing} pixels differ"  # where a logit is about zero
    return len(found)


def main() -> None:
    """Print a table for the network's masks and one for native ones."""
    given = options(__doc__)
    raw, box = raw_outputs(given)
    count = check(raw, box)
    with peer_of(given) as peer:
        for native in (False, True):
            sides = stages(raw, box, native)
            if peer:

                def theirs(native: bool = native) -> float:
                    said = peer.ask(source=CROWD, array=True, masks="xy", conf=LIMITS["conf"], retina_masks=native)
                    return said["postprocess"] - said["nms"] + said["masks"]

                sides["peer"] = theirs
            times = in_turns(sides, given.rounds(15), given.runs())
            kind = "native" if native else "the network's"
            title(f"{count} objects from raw outputs to polygons, masks of {kind} size")
            for name in ("dense", "peer"):
                if name in times:
                    row(name, times[name])
            row("segkit, against the dense way", times["segkit"], times["dense"])
            if peer:
                row("segkit, against the peer", times["segkit"], times["peer"], "<= 0.125")
    if given.peer is None:
        peer_absent()


if __name__ == "__main__":
    main()
