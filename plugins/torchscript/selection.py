"""Selection of detections in TorchScript: the semantics of `segkit.core.inference.decode`.

These functions are scripted as they stand, so that their loops end up in the file; torch's own operators are all that
they use, so that the file needs nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor


def select(output0: Tensor, masks: int, conf: float, iou: float, max_det: int, agnostic: bool) -> Tensor:
    """The rows of each picture's detections, best first.

    An anchor stands for its best class. Scores must be above `conf`; equal ones go by anchor.

    Args:
        output0: (B, 4 + nc + masks, A) float32: cx, cy, w, h, scores, coefficients.
        masks: number of mask coefficients.
        conf: least score, strict.
        iou: overlap above which the lower of two boxes falls, strict.
        max_det: most detections a picture.
        agnostic: boxes of different classes compete too.

    Returns:
        (B, max_det, 6 + masks) x1, y1, x2, y2, score, class, coefficients; rows without a detection are zero.
    """
    pictures, channels, _ = output0.shape
    rows = output0.new_zeros((pictures, max_det, 6 + masks))
    for picture in range(pictures):
        columns = output0[picture]
        best, labels = columns[4 : channels - masks].max(0)
        anchors = ((best > conf) & columns[:4].isfinite().all(0)).nonzero()[:, 0]
        order = best[anchors].sort(descending=True, stable=True)[1]
        anchors = anchors[order[:30000]]  # the best that compete, as in segkit.core.inference.decode
        centre, half = columns[:2, anchors], columns[2:4, anchors] / 2
        boxes = torch.cat((centre - half, centre + half)).t()
        groups = torch.zeros_like(anchors) if agnostic else labels[anchors]
        kept = survivors(boxes, groups, iou, max_det)
        anchors = anchors[kept]
        rows[picture, : kept.shape[0], :4] = boxes[kept]
        rows[picture, : kept.shape[0], 4] = best[anchors]
        rows[picture, : kept.shape[0], 5] = labels[anchors].to(rows.dtype)
        rows[picture, : kept.shape[0], 6:] = columns[channels - masks :, anchors].t()
    return rows


def survivors(boxes: Tensor, groups: Tensor, iou: float, limit: int) -> Tensor:
    """Places of at most `limit` of the boxes (N, 4), best first, that no better survivor of their group (N,) hits."""
    kept = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    block = 512  # boxes compared at a time: bounds the memory
    for start in range(0, boxes.shape[0], block):
        here = torch.arange(start, min(start + block, boxes.shape[0]), device=boxes.device)
        free = ~hits(boxes, groups, kept, here, iou).any(0)
        rivals = hits(boxes, groups, here, here, iou).triu(1)
        # A box stays if none that stays is before it and hits it. Repeated until nothing changes, this gives what going
        # through them one by one gives, in as many rounds as the longest chain of boxes.
        alive = free
        again = True
        while again:
            before = alive
            alive = free & ~(rivals & before[:, None]).any(0)
            again = not torch.equal(alive, before)
        kept = torch.cat((kept, here[alive]))
        if kept.shape[0] >= limit:
            break
    return kept[:limit]


def hits(boxes: Tensor, groups: Tensor, rows: Tensor, columns: Tensor, iou: float) -> Tensor:
    """(R, C): whether the boxes `rows` and `columns` are of one group and overlap by an IoU above `iou`."""
    one, other = boxes[rows][:, None], boxes[columns]
    sides = (torch.min(one[:, :, 2:], other[:, 2:]) - torch.max(one[:, :, :2], other[:, :2])).clamp(min=0)
    shared = sides[:, :, 0] * sides[:, :, 1]
    extent = boxes[:, 2:] - boxes[:, :2]
    areas = extent[:, 0] * extent[:, 1]
    union = areas[columns] + areas[rows][:, None] - shared
    return (shared > union * iou) & (groups[rows][:, None] == groups[columns])
