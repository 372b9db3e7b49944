"""The mask part of the loss: how well coefficients and prototypes draw the objects (Bolya et al. 2019, 1904.02689).

Only pixels inside of an object's box count, and what an anchor loses is weighed by one over the box's area. Values and
gradients are made together, object by object or picture by picture: the logits of all anchors at all pixels, which
would take most of the memory of a training, never exist at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Drawn(NamedTuple):
    """What F anchors are to draw.

    Attributes:
        picture: (F,) int64, ascending.
        target: (F,) int64 index of the object among the T of the batch.
        boxes: (T, 4) x1 y1 x2 y2 of the objects in prototype pixels, not rounded.
        areas: (T,) of the boxes, as a share of the picture.
        masks: (B, h, w) one map a picture, or (T, h, w) zeros and ones.
        numbers: (T,) the value of each object in its map; None for separate masks.
    """

    picture: Tensor
    target: Tensor
    boxes: Tensor
    areas: Tensor
    masks: Tensor
    numbers: Tensor | None

    def of(self, target: int, picture: int, window: tuple[slice, slice]) -> Tensor:
        """The mask of one object in a window, as floats."""
        if self.numbers is None:
            return self.masks[(target, *window)].float()
        return (self.masks[(picture, *window)] == self.numbers[target]).float()


def mask_loss(coefficients: Tensor, prototypes: Tensor, drawn: Drawn) -> Tensor:
    """The sum over anchors of the mean cross-entropy of their masks.

    Args:
        coefficients: (F, nm) float32 of the anchors.
        prototypes: (B, nm, h, w) float32.
        drawn: what they are to draw; (h, w) is also the size of its masks.
    """
    found: Tensor = _MaskLoss.apply(coefficients, prototypes, drawn)  # type: ignore[no-untyped-call]
    return found


class _MaskLoss(torch.autograd.Function):
    """Both gradients are known once the loss is: they are kept, and scaled when they are asked for."""

    @staticmethod
    def forward(context: Any, coefficients: Tensor, prototypes: Tensor, drawn: Drawn) -> Tensor:
        """Sum up parts."""
        parts = _by_object if prototypes.device.type == "cpu" else _by_picture
        total = coefficients.new_zeros(())
        to_coefficients, to_prototypes = torch.zeros_like(coefficients), torch.zeros_like(prototypes)
        pixels = prototypes.shape[-2] * prototypes.shape[-1]
        for anchors, picture, window, wanted, weight in parts(drawn, prototypes):
            basis = prototypes[(picture, slice(None), *window)].flatten(1)
            logits = coefficients[anchors] @ basis
            weight = weight / pixels
            total += ((functional.softplus(logits) - logits * wanted) * weight).sum()
            slope = (logits.sigmoid_() - wanted) * weight
            to_coefficients[anchors] = slope @ basis.T
            part = to_prototypes[(picture, slice(None), *window)]
            part += (coefficients[anchors].T @ slope).view_as(part)
        context.save_for_backward(to_coefficients, to_prototypes)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Scale."""
        to_coefficients, to_prototypes = context.saved_tensors
        return to_coefficients * gradients[0], to_prototypes * gradients[0], None


Part = tuple[Tensor, int, tuple[slice, slice], Tensor, Tensor]
"""Anchors (n,) of a picture, a window of its prototypes, and for the pixels of the window (n or 1, p) the wanted mask
and the weight."""


def _by_object(drawn: Drawn, prototypes: Tensor) -> Iterator[Part]:
    """The anchors of one object at a time, in the window of its box: the least work, in many small steps."""
    targets, order = drawn.target.sort(stable=True)
    owners, counts = targets.unique_consecutive(return_counts=True)
    height, width = prototypes.shape[-2:]
    low = drawn.boxes.ceil().clamp(min=0)
    ends = torch.stack((low[:, 2], low[:, 3]), 1)
    starts = low[:, :2].long().tolist()
    stops = torch.minimum(ends, ends.new_tensor([width, height])).long().tolist()
    for target, anchors in zip(owners.tolist(), order.split(counts.tolist()), strict=True):
        (left, top), (right, bottom) = starts[target], stops[target]
        if right <= left or bottom <= top:
            continue
        window = slice(top, bottom), slice(left, right)
        picture = int(drawn.picture[anchors[0]])
        wanted = drawn.of(target, picture, window).to(prototypes.dtype).flatten()[None]
        yield anchors, picture, window, wanted, (1 / drawn.areas[target]).view(1, 1)


def _by_picture(drawn: Drawn, prototypes: Tensor) -> Iterator[Part]:
    """All anchors of a picture at a time, all pixels: few large steps, as a graphics card likes them."""
    height, width = prototypes.shape[-2:]
    x = torch.arange(width, dtype=drawn.boxes.dtype, device=drawn.boxes.device)
    y = torch.arange(height, dtype=drawn.boxes.dtype, device=drawn.boxes.device)[:, None]
    counts = torch.bincount(drawn.picture, minlength=len(prototypes)).tolist()
    whole = slice(0, height), slice(0, width)
    first = 0
    for picture, count in enumerate(counts):
        if not count:
            continue
        anchors = torch.arange(first, first + count, device=drawn.picture.device)
        first += count
        target = drawn.target[anchors]
        left, top, right, bottom = drawn.boxes[target].T[:, :, None, None]
        inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        if drawn.numbers is None:
            wanted = drawn.masks[target].to(prototypes.dtype)
        else:
            wanted = (drawn.masks[picture] == drawn.numbers[target, None, None]).to(prototypes.dtype)
        weight = inside / drawn.areas[target, None, None]
        yield anchors, picture, whole, wanted.flatten(1), weight.flatten(1).to(prototypes.dtype)
