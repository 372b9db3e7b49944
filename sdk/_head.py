"""What the outputs of an artefact mean, in words: as its metadata say, or else as their shapes can be read."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from segkit.core.backend.base import Anchors, Inspection
from segkit.core.backend.layouts import Known, arrange
from segkit.core.backend.metadata import Metadata, Seal
from segkit.core.errors import ModelFileError

_LARGEST = 1 << 30
"""Elements of an output: what claims more is not laid out, even without memory behind it."""

_BOXES = {
    "pixels": " in pixels",
    "unit": " in units of the input's sides",
    "distances": " as distributions of how far their sides are from their anchors",
}

OUTSIDE = "objects are selected afterwards"


def head_in_words(metadata: Metadata | None, inspection: Inspection, path: Path) -> str | None:
    """How boxes, scores, coefficients and prototypes come out; None where only running the file would tell."""
    if metadata is not None and metadata.segkit is not None:
        return _sealed(metadata.segkit, len(metadata.names))
    shapes = [tensor.shape for tensor in inspection.outputs]
    fixed = [(1, *(side for side in shape[1:] if isinstance(side, int))) for shape in shapes]
    free = any(len(one) != len(other) for one, other in zip(fixed, shapes, strict=True))
    if not shapes or free or any(prod(shape) > _LARGEST for shape in fixed):
        return None
    outputs = [np.broadcast_to(np.float32(0), shape) for shape in fixed]
    given = metadata or Metadata()
    known = Known.of(metadata, channels_last=_channels_last(inspection))
    known = replace(known, unit_boxes=False)  # which of the two it is shows in the values alone
    try:
        raw = arrange(outputs, given.imgsz, known, path)
    except ModelFileError as error:
        return f"not one that segkit can read: {error.problem}"
    if isinstance(raw, Anchors):
        counts = raw.scores.shape[1], raw.coefficients.shape[1]
        return _anchors("joined" if len(outputs) == 2 else "split", "", *counts)
    return _selected(f" up to {fixed[0][1]}" if len(fixed[0]) == 3 else "", raw.prototypes.shape[1])


def _channels_last(inspection: Inspection) -> bool | None:
    """Whether pictures are given with their channels last: prototypes come out as pictures go in. None: not known."""
    shape = inspection.inputs[0].shape if inspection.inputs else ()
    ends = (shape[1], shape[3]) if len(shape) == 4 else (None, None)
    return ends[1] == 3 if (ends[0] == 3) != (ends[1] == 3) else None


def _sealed(seal: Seal, classes: int) -> str:
    unit = _BOXES[seal.head.boxes]
    return (
        _selected("", seal.coefficients)
        if seal.head.nms
        else _anchors(seal.head.outputs, unit, classes, seal.coefficients)
    )


def _anchors(outputs: str, unit: str, classes: int, masks: int) -> str:
    parts = f"boxes{unit}, {classes} class scores and {masks} mask coefficients"
    return f"{parts}, {'in one tensor' if outputs == 'joined' else 'each a tensor'}; {masks} prototypes; {OUTSIDE}"


def _selected(most: str, masks: int) -> str:
    return f"selection inside:{most} objects with box, score, class and {masks} mask coefficients; {masks} prototypes"
