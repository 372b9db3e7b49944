"""What a network loses on a batch: boxes, masks, classes, side distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from segkit.core.model.head import RawHead
from segkit.core.training.assigner import Assigned, Objects, assign
from segkit.core.training.boxes import Anchors, around, ciou, distances, distribution_loss, expectation
from segkit.core.training.mask_loss import Drawn, mask_loss
from segkit.core.training.targets import Targets

NAMES = ("box_loss", "seg_loss", "cls_loss", "dfl_loss")
"""What the parts of a loss are called, in their order."""


class Gains(NamedTuple):
    """Weights of the parts; masks have that of the boxes."""

    box: float = 7.5
    cls: float = 0.5
    dfl: float = 1.5


class Loss(NamedTuple):
    """The loss of a batch.

    Attributes:
        total: a number, the sum of the parts times the pictures of the (whole) batch: what is to be made smaller.
        parts: (4,) box, mask, class and distance loss, each with its gain; without a gradient.
    """

    total: Tensor
    parts: Tensor


def alone(sums: Tensor) -> Tensor:
    """The sums over all processes, where there is one."""
    return sums


class SegmentationLoss:
    """The loss of YOLOv8-seg.

    Each part is divided by what the whole batch holds: target scores, or anchors that learn an object. With several
    processes `over_all` adds these up, and the parts of all processes add up to those of one process.
    """

    def __init__(
        self, strides: tuple[int, ...], gains: Gains | None = None, over_all: Callable[[Tensor], Tensor] = alone
    ) -> None:
        """`strides` of the head's levels; `over_all` gives the sums (K,) over all processes."""
        self._strides, self._gains, self._over_all = strides, gains or Gains(), over_all

    def alone(self) -> SegmentationLoss:
        """The same of a batch that one process has for itself."""
        return SegmentationLoss(self._strides, self._gains)

    def __call__(self, raw: RawHead, targets: Targets, pictures: int | None = None, *, counted: bool = True) -> Loss:
        """The loss of a batch, at least in float32 whatever the network computes in.

        Args:
            raw: what the network says of the batch's pictures.
            targets: what is in them, on the same device.
            pictures: of the batch over all processes; default: those that are here.
            counted: False for a share of the batch that is to be nothing: its loss is 0, and nobody divides by it.
        """
        boxes, scores, coefficients, prototypes = (
            part if part.dtype == torch.float64 else part.float() for part in raw
        )
        anchors = Anchors.of(*targets.size, self._strides, boxes)
        objects = _objects(targets)
        with torch.no_grad():
            predicted = _decoded(boxes, anchors)
        assigned = assign(predicted, scores, anchors, objects)
        count, summed = assigned.score.new_tensor(float(len(assigned.target))), assigned.score.sum()
        foreground, target_scores = self._over_all(torch.stack((count, summed)) * counted).unbind()
        target_scores = target_scores.clamp(min=1)
        parts = torch.stack(
            (
                *_box_parts(boxes, anchors, objects, assigned, target_scores),
                _class_part(scores, objects, assigned) / target_scores,
                _mask_part(coefficients, prototypes, targets, objects, assigned) / foreground.clamp(min=1),
            )
        )
        box, dfl, cls, seg = (parts * counted).unbind()
        gains = self._gains
        weighted = torch.stack((box * gains.box, seg * gains.box, cls * gains.cls, dfl * gains.dfl))
        return Loss(weighted.sum() * (pictures or len(boxes)), weighted.detach())


def _objects(targets: Targets) -> Objects:
    scale = targets.boxes.new_tensor(targets.size[::-1])
    centre, half = targets.boxes[:, :2] * scale, targets.boxes[:, 2:] * scale / 2
    return Objects(targets.owner, targets.classes, torch.cat((centre - half, centre + half), 1))


def _decoded(boxes: Tensor, anchors: Anchors) -> Tensor:
    """(B, A, 4) x1 y1 x2 y2 in input pixels of box logits (B, 4 · bins, A)."""
    sides = expectation(boxes.transpose(1, 2)) * anchors.strides[:, None]
    return torch.cat((anchors.centres - sides[..., :2], anchors.centres + sides[..., 2:]), 2)


def _box_parts(
    boxes: Tensor, anchors: Anchors, objects: Objects, assigned: Assigned, target_scores: Tensor
) -> tuple[Tensor, Tensor]:
    """Overlap and distance loss of the anchors that learn an object, in units of their cells."""
    logits = boxes[assigned.picture, :, assigned.anchor]
    stride = anchors.strides[assigned.anchor, None]
    centres, wanted = anchors.centres[assigned.anchor] / stride, objects.boxes[assigned.target] / stride
    overlap = ciou(around(centres, expectation(logits)), wanted)
    spread = distribution_loss(logits, distances(centres, wanted))
    return ((1 - overlap) * assigned.score).sum() / target_scores, (spread * assigned.score).sum() / target_scores


def _class_part(scores: Tensor, objects: Objects, assigned: Assigned) -> Tensor:
    """Binary cross-entropy with targets that are 0 nearly everywhere: softplus of all, less what is wanted."""
    wanted = scores[assigned.picture, objects.classes[assigned.target], assigned.anchor]
    return functional.softplus(scores).sum() - (wanted * assigned.score).sum()


def _mask_part(
    coefficients: Tensor, prototypes: Tensor, targets: Targets, objects: Objects, assigned: Assigned
) -> Tensor:
    size = targets.masks.shape[-2:]
    if prototypes.shape[-2:] != size:
        prototypes = functional.interpolate(prototypes, size, mode="bilinear", align_corners=False)
    height, width = targets.size
    scale = objects.boxes.new_tensor([size[1] / width, size[0] / height]).repeat(2)
    areas = (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1) / (height * width)
    numbers = None
    if targets.overlapping:
        numbers = torch.arange(len(objects.owner), device=objects.owner.device) + 1
        numbers = numbers - torch.searchsorted(objects.owner, objects.owner)
    drawn = Drawn(assigned.picture, assigned.target, objects.boxes * scale, areas, targets.masks, numbers)
    return mask_loss(coefficients[assigned.picture, :, assigned.anchor], prototypes, drawn)
