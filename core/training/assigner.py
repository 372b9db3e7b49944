"""Which anchor learns which object: task-aligned assignment (Feng et al. 2021, arXiv:2108.07755).

An anchor whose centre lies in an object's box is a candidate of it. Candidates are ranked by class score and overlap,
the best ones learn the object, and an anchor that several objects want goes to the one that it overlaps most. Only
pairs of an object and a candidate exist here, never a table of all objects and all anchors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segkit.core.training.boxes import Anchors, ciou

BEST = 10
"""Most anchors that learn one object, before conflicts are settled."""

SCORE_POWER, OVERLAP_POWER = 0.5, 6.0

_STRICTLY = 1e-9
"""A centre lies inside of a box by more than this, in pixels."""

_TINY = 1e-9


class Objects(NamedTuple):
    """The T objects of a batch.

    Attributes:
        owner: (T,) int64 picture of each, ascending.
        classes: (T,) int64.
        boxes: (T, 4) x1 y1 x2 y2 in input pixels; one without width and height is no object.
    """

    owner: Tensor
    classes: Tensor
    boxes: Tensor


class Assigned(NamedTuple):
    """The F anchors of a batch that learn an object, ordered by picture and anchor.

    Attributes:
        picture: (F,) int64.
        anchor: (F,) int64 index among the A anchors.
        target: (F,) int64 index of the object.
        score: (F,) what the class score of the object should be.
    """

    picture: Tensor
    anchor: Tensor
    target: Tensor
    score: Tensor


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, anchors: Anchors, objects: Objects) -> Assigned:
    """Assign objects to anchors.

    Args:
        boxes: (B, A, 4) predicted x1 y1 x2 y2 in input pixels.
        scores: (B, nc, A) class logits.
        anchors: the A anchors.
        objects: what is to be learnt.
    """
    owner, anchor = _candidates(anchors, objects)
    picture = objects.owner[owner]
    overlap = ciou(objects.boxes[owner], boxes[picture, anchor]).clamp(min=0)
    score = scores[picture, objects.classes[owner], anchor].sigmoid()
    metric = score.pow(SCORE_POWER) * overlap.pow(OVERLAP_POWER)
    chosen = _settled(picture * boxes.shape[1] + anchor, owner, metric, overlap)
    picture, anchor, owner, metric, overlap = (part[chosen] for part in (picture, anchor, owner, metric, overlap))
    top_metric, top_overlap = (_most(part, owner, len(objects.owner)) for part in (metric, overlap))
    wanted = metric * top_overlap[owner] / (top_metric[owner] + _TINY)
    return Assigned(picture, anchor, owner, wanted)


def _candidates(anchors: Anchors, objects: Objects) -> tuple[Tensor, Tensor]:
    """Pairs (P,) of an object and an anchor whose centre lies in its box, ordered by object and anchor.

    Sides shorter than the second stride are taken to be as long as it: small objects would find no anchor.
    """
    strides = [stride for _, _, stride in anchors.levels]
    least = strides[min(1, len(strides) - 1)]
    middle, half = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2, (objects.boxes[:, 2:] - objects.boxes[:, :2]) / 2
    real = (half > 0).any(1)
    half = torch.where(half * 2 < least, least / 2, half)
    low, high = middle - half, middle + half
    owners, found, first = [], [], 0
    for rows, columns, stride in anchors.levels:
        spans = []
        for axis, count in ((1, rows), (0, columns)):
            places = (torch.arange(count, dtype=low.dtype, device=low.device) + 0.5) * stride
            inside = (places - low[:, axis, None] > _STRICTLY) & (high[:, axis, None] - places > _STRICTLY)
            spans.append((inside.long().argmax(1), inside.sum(1) * real))
        (top, high_count), (left, wide) = spans
        owner = torch.arange(len(top), device=low.device).repeat_interleave(high_count * wide)
        ends = (high_count * wide).cumsum(0)
        place = torch.arange(len(owner), device=low.device) - (ends - high_count * wide)[owner]
        row = top[owner] + torch.div(place, wide[owner], rounding_mode="floor")
        owners.append(owner)
        found.append(first + row * columns + left[owner] + place % wide[owner])
        first += rows * columns
    owner, order = torch.cat(owners).sort(stable=True)
    return owner, torch.cat(found)[order]


def _settled(place: Tensor, owner: Tensor, metric: Tensor, overlap: Tensor) -> Tensor:
    """Indices of the pairs that stay, ordered by place (the anchor within the batch): one a place at most."""
    order = metric.argsort(descending=True, stable=True)
    order = order[owner[order].argsort(stable=True)]  # by object, the best first
    rank = torch.arange(len(order), device=owner.device) - torch.searchsorted(owner[order], owner[order])
    best = torch.zeros_like(owner, dtype=torch.bool)
    best[order[rank < BEST]] = True
    best &= metric > 0
    # Where several objects want a place, all of its candidates are asked, also those that did not come among the best.
    places, which = place[best].unique(return_inverse=True)
    wanted = torch.bincount(which, minlength=len(places))
    at = torch.searchsorted(places, place).clamp(max=max(len(places) - 1, 0))
    if not len(places):
        return best.nonzero()[:, 0]
    contested = (places[at] == place) & (wanted[at] > 1)
    pairs = torch.where(contested, contested, best).nonzero()[:, 0]
    pairs = pairs[overlap[pairs].argsort(descending=True, stable=True)]
    pairs = pairs[place[pairs].argsort(stable=True)]  # by place, the largest overlap first, then the first object
    ordered = place[pairs]
    return pairs[torch.cat((ordered.new_ones(1, dtype=torch.bool), ordered[1:] != ordered[:-1]))]


def _most(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """(count,) the largest value of each owner, 0 without any."""
    return values.new_zeros(count).scatter_reduce(0, owner, values, "amax")
