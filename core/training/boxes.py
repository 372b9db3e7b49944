"""Boxes as the loss needs them: overlap with a gradient, side distances, anchors.

Complete IoU: Zheng et al. 2020, arXiv:1911.08287. Distributions over side distances: Li et al. 2020, arXiv:2006.04388.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-7


class Anchors(NamedTuple):
    """The A anchor points of an input, levels joined finest first, row by row inside a level.

    Attributes:
        centres: (A, 2) x, y in input pixels.
        strides: (A,) side of the cell in input pixels.
        levels: (rows, columns, stride) of each level.
    """

    centres: Tensor
    strides: Tensor
    levels: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, height: int, width: int, strides: tuple[int, ...], like: Tensor) -> Anchors:
        """For an input of `height` x `width` pixels, with the dtype and device of `like`."""
        levels = tuple((height // stride, width // stride, stride) for stride in strides)
        centres = []
        for rows, columns, stride in levels:
            y, x = torch.meshgrid(_middles(rows, stride, like), _middles(columns, stride, like), indexing="ij")
            centres.append(torch.stack((x, y), -1).reshape(-1, 2))
        sides = [like.new_full((rows * columns,), stride) for rows, columns, stride in levels]
        return cls(torch.cat(centres), torch.cat(sides), levels)


def _middles(count: int, stride: int, like: Tensor) -> Tensor:
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * stride


def ciou(boxes: Tensor, others: Tensor) -> Tensor:
    """(N,) complete IoU of boxes (N, 4) with others (N, 4), x1 y1 x2 y2; at most 1, negative far apart.

    The weight of the aspect term carries no gradient, as the paper has it.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1] + EPS
    other_width, other_height = others[:, 2] - others[:, 0], others[:, 3] - others[:, 1] + EPS
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    iou = shared / (width * height + other_width * other_height - shared + EPS)
    hull = torch.maximum(boxes[:, 2:], others[:, 2:]) - torch.minimum(boxes[:, :2], others[:, :2])
    diagonal = hull.square().sum(1) + EPS
    apart = ((others[:, :2] + others[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2).square().sum(1)
    aspect = 4 / math.pi**2 * (torch.atan(other_width / other_height) - torch.atan(width / height)).square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + (1 + EPS))
    return iou - (apart / diagonal + aspect * weight)


def expectation(logits: Tensor) -> Tensor:
    """(..., 4 · bins) logits to (..., 4) mean distances left, top, right, bottom, in cells."""
    spread: Tensor = logits.unflatten(-1, (4, -1)).softmax(-1)
    return spread @ torch.arange(spread.shape[-1], dtype=logits.dtype, device=logits.device)


def around(centres: Tensor, distances: Tensor) -> Tensor:
    """(N, 4) x1 y1 x2 y2 of boxes around centres (N, 2), by distances (N, 4) in the same unit."""
    return torch.cat((centres - distances[:, :2], centres + distances[:, 2:]), 1)


def distances(centres: Tensor, boxes: Tensor) -> Tensor:
    """(N, 4) left, top, right, bottom of boxes (N, 4) from centres (N, 2)."""
    return torch.cat((centres - boxes[:, :2], boxes[:, 2:] - centres), 1)


def distribution_loss(logits: Tensor, target: Tensor) -> Tensor:
    """(N,) cross-entropy of the two bins beside each target distance, by their nearness, mean over the four sides.

    Args:
        logits: (N, 4 · bins).
        target: (N, 4) in cells; what lies beyond the last bin counts as just before it.
    """
    logs = functional.log_softmax(logits.unflatten(-1, (4, -1)), -1)
    target = target.clamp(0, logs.shape[-1] - 1 - 0.01)
    below = target.long()
    share = (target - below)[..., None]
    near = logs.gather(-1, torch.stack((below, below + 1), -1))
    return -(near[..., :1] * (1 - share) + near[..., 1:] * share).mean((1, 2))
