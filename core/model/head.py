"""The segmentation head: raw outputs for training, boxes and scores for inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segkit.core.model.blocks import Conv, Expectation, Prototypes
from segkit.core.model.config import Head


class RawHead(NamedTuple):
    """What the head computes before decoding; A anchors, levels joined finest first, row by row inside a level.

    Attributes:
        boxes: (B, 4 · bins, A) logits of the side distances left, top, right, bottom.
        scores: (B, nc, A) class logits.
        coefficients: (B, masks, A) mask coefficients.
        prototypes: (B, masks, H/4, W/4).
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor
    prototypes: Tensor


class Decoded(NamedTuple):
    """What a network says about a batch; A anchors.

    Attributes:
        boxes: (B, 4, A) cx, cy, w, h in input pixels, or in units of the input's sides, as the grid was.
        scores: (B, nc, A) in 0..1.
        coefficients: (B, masks, A).
        prototypes: (B, masks, H/4, W/4).
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor
    prototypes: Tensor


class Grid(NamedTuple):
    """Where the anchors are, in the unit that boxes are wanted in.

    Attributes:
        centres: (1, 2, A) x, y.
        sides: (1, 4, A) or (1, 1, A) length of a cell along the direction of left, top, right, bottom.
    """

    centres: Tensor
    sides: Tensor


class Segment(nn.Module):
    """Three branches a level (box, class, coefficients) and one of prototypes."""

    def __init__(self, config: Head, nc: int, channels: Sequence[int], strides: Sequence[int]) -> None:
        """`channels` and `strides` of the maps it reads, finest first."""
        super().__init__()
        self.strides = tuple(strides)
        self.cv2 = _branches(channels, config.boxes, 4 * config.bins, _plain)
        self.cv3 = _branches(channels, config.scores, nc, _depthwise if config.depthwise else _plain)
        self.dfl = Expectation(config.bins)
        self.proto = Prototypes(channels[0], config.prototypes, config.masks)
        self.cv4 = _branches(channels, config.coefficients, config.masks, _plain)
        self._start_biases(nc)

    def forward(self, maps: list[Tensor]) -> RawHead:
        """Maps (B, channels[i], H/strides[i], W/strides[i]) → raw outputs."""
        return RawHead(_joined(self.cv2, maps), _joined(self.cv3, maps), _joined(self.cv4, maps), self.proto(maps[0]))

    def decode(self, raw: RawHead, grid: Grid) -> Decoded:
        """Boxes from the mean side distances, scores from the logits."""
        distances = self.dfl(raw.boxes) * grid.sides
        low, high = distances.split((2, 2), 1)
        boxes = torch.cat((grid.centres + (high - low) * 0.5, low + high), 1)
        return Decoded(boxes, raw.scores.sigmoid(), raw.coefficients, raw.prototypes)

    def grid(self, like: Tensor, height: int, width: int, *, unit: bool = False) -> Grid:
        """Anchors for an input of `height` x `width` pixels, with the dtype and device of `like`.

        In pixels, or with `unit` in 0..1 of the input's sides. Sizes may be symbols of an export.
        """
        levels = [_level(height // stride, width // stride, stride, like, unit) for stride in self.strides]
        centres, sides = zip(*levels, strict=True)
        return Grid(torch.cat(centres, 1)[None], torch.cat(sides, 1)[None])

    def _start_biases(self, nc: int) -> None:
        """Start from what an untrained head should say: short sides, and about 5 objects in a 640-pixel picture."""
        for box, score, stride in zip(self.cv2, self.cv3, self.strides, strict=True):
            nn.init.constant_(box[-1].bias, 2.0)  # type: ignore[index]
            nn.init.constant_(score[-1].bias, math.log(5 / nc / (640 / stride) ** 2))  # type: ignore[index]


def _level(rows: int, columns: int, stride: int, like: Tensor, unit: bool) -> tuple[Tensor, Tensor]:
    """Centres (2, rows · columns) and sides (1 or 4, rows · columns) of one level's cells."""
    # By what `like` is, not by naming its device: a trace would keep the name.
    x = torch.arange(columns).type_as(like) + 0.5
    y = torch.arange(rows).type_as(like) + 0.5
    one = like.new_ones(rows * columns)
    if unit:
        x, y = x / columns, y / rows
        across, down = one / columns, one / rows
        sides = torch.stack((across, down, across, down))
    else:
        x, y = x * stride, y * stride
        sides = (one * stride)[None]
    centres = torch.stack((x[None, :].expand(rows, -1), y[:, None].expand(-1, columns)))
    return centres.reshape(2, rows * columns), sides


def _plain(cin: int, hidden: int) -> list[nn.Module]:
    return [Conv(cin, hidden, 3), Conv(hidden, hidden, 3)]


def _depthwise(cin: int, hidden: int) -> list[nn.Module]:
    return [
        nn.Sequential(Conv(cin, cin, 3, groups=cin), Conv(cin, hidden)),
        nn.Sequential(Conv(hidden, hidden, 3, groups=hidden), Conv(hidden, hidden)),
    ]


def _branches(
    channels: Sequence[int], hidden: int, out: int, body: Callable[[int, int], list[nn.Module]]
) -> nn.ModuleList:
    return nn.ModuleList(nn.Sequential(*body(cin, hidden), nn.Conv2d(hidden, out, 1)) for cin in channels)


def _joined(branches: nn.ModuleList, maps: list[Tensor]) -> Tensor:
    """Outputs of one branch over all levels: (B, out, A)."""
    return torch.cat([branch(x).flatten(2) for branch, x in zip(branches, maps, strict=True)], 2)
