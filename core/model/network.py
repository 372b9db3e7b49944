"""YOLOv8-seg as a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from segkit.core.model.blocks import SPPF, C2f, Concat, Conv, Upsample
from segkit.core.model.config import ModelConfig
from segkit.core.model.head import Decoded, RawHead, Segment


class SegmentationNetwork(nn.Module):
    """A picture to boxes, class scores, mask coefficients and mask prototypes.

    State-dict names are the published ones: `model.0.conv.weight` …

    Attributes:
        config: what it is made of.
        names: class index to name.
        model: numbered layers; the last is the head.
    """

    def __init__(self, config: ModelConfig, names: Mapping[int, str] | None = None) -> None:
        """Random weights on torch's default device; names default to "class 0" …"""
        super().__init__()
        self.config = config
        self.names = dict(names) if names else {index: f"class {index}" for index in range(config.nc)}
        layers = [_layer(config, index) for index in range(len(config.layers))]
        channels = [config.channels[index] for index in config.head.source]
        self.model = nn.ModuleList([*layers, Segment(config.head, config.nc, channels, config.strides)])
        self._sources = [config.sources(index) for index in range(len(layers))]
        read = {source for sources in self._sources for source in sources} | set(config.head.source)
        # What is read by the next layer alone need not be kept.
        self._kept = {i for i in read if any(i in s and j != i + 1 for j, s in enumerate(self._sources))}
        self._kept |= set(config.head.source)

    @property
    def nc(self) -> int:
        """Number of classes."""
        return self.config.nc

    @property
    def stride(self) -> int:
        """Both sides of an input must be multiples of it."""
        return self.config.stride

    @property
    def head(self) -> Segment:
        """The last layer."""
        head = self.model[-1]
        assert isinstance(head, Segment)
        return head

    @property
    def fused(self) -> bool:
        """Whether batch norms are folded into the convolutions."""
        return not any(isinstance(module, nn.BatchNorm2d) for module in self.modules())

    def forward(self, images: Tensor) -> RawHead | tuple[Tensor, Tensor]:
        """Train mode: the raw head. Eval mode: output0 (B, 4 + nc + masks, A) in pixels, output1 (B, masks, H/4, W/4).

        Args:
            images: (B, 3, H, W) RGB 0..1; H and W multiples of `stride`.
        """
        if self.training:
            return self.raw(images)
        decoded = self.decode(images)
        return torch.cat((decoded.boxes, decoded.scores, decoded.coefficients), 1), decoded.prototypes

    def decode(self, images: Tensor) -> Decoded:
        """Boxes in input pixels, scores, coefficients and prototypes, without joining them.

        Float32 whatever the network computes in: half precision is too coarse for pixel coordinates.
        """
        raw = RawHead(*(output.float() for output in self.raw(images)))
        return self.head.decode(raw, self.head.grid(raw.boxes, images.shape[2], images.shape[3]))

    def raw(self, images: Tensor) -> RawHead:
        """What the head computes before decoding."""
        kept: dict[int, Tensor] = {}
        x = images
        for index, sources in enumerate(self._sources):
            read = [x if source == index - 1 else images if source < 0 else kept[source] for source in sources]
            x = self.model[index](read if self.config.layers[index].block == "Concat" else read[0])
            if index in self._kept:
                kept[index] = x
        raw: RawHead = self.head([kept[source] for source in self.config.head.source])
        return raw

    def fuse(self) -> Self:
        """Fold every batch norm into its convolution, in place, for inference; returns self."""
        for module in self.modules():
            if isinstance(module, Conv):
                module.fuse()
        return self


def _layer(config: ModelConfig, index: int) -> nn.Module:
    layer, cin = config.layers[index], config.inputs[index]
    match layer.block:
        case "Conv":
            return Conv(cin, layer.channels, layer.kernel, layer.stride)
        case "C2f":
            return C2f(cin, layer.channels, layer.repeats, shortcut=layer.shortcut)
        case "SPPF":
            return SPPF(cin, layer.channels, layer.kernel)
        case "Upsample":
            return Upsample()
        case "Concat":
            return Concat()
