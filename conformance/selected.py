"""Objects of two backends, compared: what eight bits leave of them, and what a graph selects by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.conformance.instances import Pair, Seen, match
from segkit.conformance.tolerance import ObjectTolerance, Tolerance
from segkit.core.backend import Anchors, Selected
from segkit.core.images import ImageBatch
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import Detections


def check_objects(
    got: Anchors, wanted: Anchors, batch: ImageBatch, limits: ObjectTolerance, what: str
) -> tuple[Pair, ...]:
    """The objects of a batch's first picture, matched; each that counts must be found again, and nearly as it was.

    Raises:
        AssertionError: one is missing or has changed too much; the message has every figure.
    """
    __tracebackhide__ = True
    conf = limits.confidence
    # What is a little above the threshold in one may be a little below it in the other.
    reference = Seen.of(wanted, 0, batch.geometry[0], PredictArguments.model_validate({"conf": conf}))
    other = Seen.of(got, 0, batch.geometry[0], PredictArguments.model_validate({"conf": max(conf - limits.score, 0)}))
    found = match(reference, other, conf)
    assert len(reference), "the reference sees no object: nothing would be compared"
    lost = [index for index in range(len(reference)) if index not in {pair.reference for pair in found.pairs}]
    bad = [
        pair
        for pair in found.pairs
        if pair.box_iou < limits.box_iou or pair.mask_iou < limits.mask_iou or abs(pair.score) > limits.score
    ]
    if lost or bad:
        lines = [f"{what} changes the objects too much ({limits}):"]
        lines += [f"! class {reference.classes[i]}, score {reference.scores[i]:.3f}: not found" for i in lost]
        lines += [f"{'! ' if pair in bad else '  '}{pair}" for pair in found.pairs]
        raise AssertionError("\n".join(lines))
    return found.pairs


def check_selected(got: Selected, wanted: Sequence[Detections], limits: Tolerance, what: str) -> None:
    """What a graph selected is what is selected outside, in the same order.

    Raises:
        AssertionError: another number of detections, another class, or a number beyond its limit.
    """
    __tracebackhide__ = True
    assert len(got.xyxy) == len(wanted), f"{what} gives {len(got.xyxy)} pictures of {len(wanted)}"
    assert any(map(len, wanted)), "nothing is selected outside: nothing would be compared"
    fields = zip(wanted, got.xyxy, got.confidence, got.classes, got.coefficients, strict=True)
    for number, (reference, boxes, scores, classes, coefficients) in enumerate(fields):
        where = f"{what}, picture {number}"
        assert len(boxes) == len(reference), f"{where}: {len(boxes)} detections, outside {len(reference)}"
        assert np.array_equal(classes, reference.classes), f"{where}: other classes, or another order"
        for name, ours, theirs, limit in (
            ("boxes", boxes, reference.xyxy, limits.boxes),
            ("scores", scores, reference.confidence, limits.scores),
            ("coefficients", coefficients, reference.coefficients, limits.coefficients),
        ):
            error = float(np.abs(ours - theirs).max(initial=0))
            assert error <= limit, f"{where}: {name} differ by {error:.3g} (limit {limit:g})"
