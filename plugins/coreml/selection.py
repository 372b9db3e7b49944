"""Selection of detections inside an ML Program: the semantics of `segkit.core.inference.decode` in MIL's operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from segkit.core.backend import Selection


def add_selection(program: Any, selection: Selection, name: str) -> None:
    """Append a selection of detections to a network, in place.

    An anchor stands for its best class. Boxes of one class compete (all boxes, where `selection.agnostic`): the lower
    of two whose overlap is above `iou` falls. Scores must be above `conf`, best first.

    What Core ML leaves open does not matter: an anchor's other classes are zero, so it is one whether they would
    compete by themselves or not; and what the operator pads with is overwritten.

    Args:
        program: of coremltools; its outputs are (B, 4 + nc + nm, A), boxes as cx, cy, w, h, and (B, nm, H/4, W/4).
        selection: the limits to build in.
        name: of the new first output, (B, max_det, 6 + nm): x1, y1, x2, y2, score, class, coefficients; rows without a
            detection are zero.
    """
    from coremltools.converters.mil import Builder as mb  # noqa: N813 - what everybody calls it
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    # A program made from torch.export must say of each operation where it came from; these came from nowhere.
    nowhere = [ScopeInfo(source=ScopeSource[name], data=[None]) for name in ("EXIR_STACK_TRACE", "EXIR_DEBUG_HANDLE")]
    main = program.functions["main"]
    head, prototypes = main.outputs
    _, channels, anchors = head.shape
    masks, zero = prototypes.shape[1], np.float32(0)
    classes = channels - 4 - masks
    with main, mb.scope(*nowhere):
        centre, extent, scores, coefficients = mb.split(x=head, split_sizes=[2, 2, classes, masks], axis=1)
        half = mb.mul(x=extent, y=np.float32(0.5))
        best = mb.reduce_max(x=scores, axes=[1], keep_dims=True)
        label = mb.reduce_argmax(x=scores, axis=1, keep_dims=True)
        rivals = best
        if not selection.agnostic:
            own = mb.equal(x=label, y=np.arange(classes, dtype=np.int32)[None, :, None])
            rivals = mb.select(cond=own, a=scores, b=zero)
        _, _, places, count = mb.non_maximum_suppression(
            boxes=mb.transpose(x=mb.concat(values=[centre, extent], axis=1), perm=[0, 2, 1]),
            scores=mb.transpose(x=rivals, perm=[0, 2, 1]),
            iou_threshold=np.float32(selection.iou),
            score_threshold=np.float32(selection.conf),
            max_boxes=selection.max_det,
            per_class_suppression=not selection.agnostic,
        )
        low, high = mb.sub(x=centre, y=half), mb.add(x=centre, y=half)
        columns = mb.concat(values=[low, high, best, mb.cast(x=label, dtype="fp32"), coefficients], axis=1)
        table = mb.transpose(x=columns, perm=[0, 2, 1])
        inside = mb.minimum(x=mb.maximum(x=places, y=np.int32(0)), y=np.int32(anchors - 1))
        index = mb.expand_dims(x=inside, axes=[2])
        rows = mb.gather_along_axis(x=table, indices=mb.tile(x=index, reps=[1, 1, 6 + masks]), axis=1)
        order = np.arange(selection.max_det, dtype=np.int32)[None]
        real = mb.expand_dims(x=mb.less(x=order, y=mb.expand_dims(x=count, axes=[1])), axes=[2])
        score = mb.slice_by_index(x=rows, begin=[0, 0, 4], end=[0, 0, 5], **_COLUMN)
        above = mb.greater(x=score, y=np.float32(selection.conf))
        rows = mb.select(cond=mb.logical_and(x=real, y=above), a=rows, b=zero, name=name)
        main.set_outputs([rows, prototypes])


_COLUMN = {"begin_mask": [True, True, False], "end_mask": [True, True, False]}
"""Of three axes the first two as they are."""
