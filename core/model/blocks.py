"""Building blocks of YOLOv8-seg. Attribute names are those of published state dicts, so weights load by name.

Papers: CSP (Wang et al. 2020, arXiv:1911.11929), SPP (He et al. 2014, arXiv:1406.4729), SiLU (Elfwing et al. 2018,
arXiv:1702.03118), distribution over box sides (Li et al. 2020, arXiv:2006.04388), prototypes (Bolya et al. 2019,
arXiv:1904.02689).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


class Conv(nn.Module):
    """Convolution without bias, batch norm, SiLU: (B, cin, H, W) → (B, cout, H/stride, W/stride)."""

    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        """Padded so that stride 1 keeps the size (odd kernels)."""
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn: nn.BatchNorm2d | None = nn.BatchNorm2d(cout, eps=BN_EPS, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """SiLU of the normalised convolution."""
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        # In place for inference: a sixth of the time on a CPU. An export stays functional, a gradient keeps its input.
        return functional.silu(x, inplace=not (self.training or torch.compiler.is_exporting()))

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold the batch norm's running statistics into the convolution; afterwards `bn` is None."""
        if (bn := self.bn) is None:
            return
        conv = self.conv
        # In float64: the folded weights are then the rounded exact ones.
        gain = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()  # type: ignore[union-attr]
        offset = bn.bias.double() - bn.running_mean.double() * gain  # type: ignore[union-attr]
        weight = conv.weight.double() * gain[:, None, None, None]
        conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
        conv.bias = nn.Parameter(offset.to(conv.weight.dtype), requires_grad=False)
        self.bn = None


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, optionally residual."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        """`channels` in and out."""
        super().__init__()
        self.cv1 = Conv(channels, channels, 3)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W), same out."""
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Cross-stage partial block in which every bottleneck's output is kept: (B, cin, H, W) → (B, cout, H, W)."""

    def __init__(self, cin: int, cout: int, repeats: int = 1, *, shortcut: bool = False) -> None:
        """`repeats` bottlenecks on half of `cout` channels."""
        super().__init__()
        self.width = cout // 2
        self.cv1 = Conv(cin, 2 * self.width)
        self.cv2 = Conv((2 + repeats) * self.width, cout)
        self.m = nn.ModuleList(Bottleneck(self.width, shortcut=shortcut) for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        """Both halves and every bottleneck's output, joined and mixed."""
        pieces = list(self.cv1(x).split((self.width, self.width), 1))
        for bottleneck in self.m:
            pieces.append(bottleneck(pieces[-1]))
        mixed: Tensor = self.cv2(torch.cat(pieces, 1))
        return mixed


class SPPF(nn.Module):
    """Spatial pyramid pooling by three chained poolings: (B, cin, H, W) → (B, cout, H, W)."""

    def __init__(self, cin: int, cout: int, kernel: int = 5) -> None:
        """`kernel` of the pooling (odd)."""
        super().__init__()
        self.cv1 = Conv(cin, cin // 2)
        self.cv2 = Conv(cin // 2 * 4, cout)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """The map and its one, two and three times pooled versions, joined and mixed."""
        pieces = [self.cv1(x)]
        for _ in range(3):
            pieces.append(functional.max_pool2d(pieces[-1], self.kernel, 1, self.kernel // 2))
        mixed: Tensor = self.cv2(torch.cat(pieces, 1))
        return mixed


class Upsample(nn.Module):
    """Nearest neighbour, twice as large."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 2H, 2W)."""
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Concat(nn.Module):
    """Joins maps along their channels."""

    def forward(self, x: list[Tensor]) -> Tensor:
        """Maps of one size → one map."""
        return torch.cat(x, 1)


class Prototypes(nn.Module):
    """Mask prototypes at twice the resolution of the input map: (B, cin, H, W) → (B, masks, 2H, 2W)."""

    def __init__(self, cin: int, hidden: int, masks: int) -> None:
        """`hidden` width between; `masks` prototypes."""
        super().__init__()
        self.cv1 = Conv(cin, hidden, 3)
        self.upsample = nn.ConvTranspose2d(hidden, hidden, 2, 2)
        self.cv2 = Conv(hidden, hidden, 3)
        self.cv3 = Conv(hidden, masks)

    def forward(self, x: Tensor) -> Tensor:
        """Prototypes, not yet weighted by coefficients."""
        y: Tensor = self.cv3(self.cv2(self.upsample(self.cv1(x))))
        return y


class Expectation(nn.Module):
    """Mean of a distribution over whole numbers, for the four sides of a box (DFL): (B, 4 · bins, A) → (B, 4, A)."""

    def __init__(self, bins: int) -> None:
        """The weights 0 … bins - 1 are constant; they are a parameter because published state dicts hold them."""
        super().__init__()
        self.bins = bins
        self.conv = nn.Conv2d(bins, 1, 1, bias=False).requires_grad_(False)
        # From a list: torch.arange on the meta device, where networks are built to be filled from a file, costs a
        # second of imports.
        self.conv.weight.data = torch.tensor([float(i) for i in range(bins)]).view(1, bins, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Softmax over the bins, then the mean, in bins."""
        batch, _, anchors = x.shape
        spread = x.view(batch, 4, self.bins, anchors).transpose(1, 2).softmax(1)
        weight = self.conv.weight
        if weight.dtype != x.dtype:  # decoding stays in float32 when the network computes in half
            weight = weight.to(x.dtype)
        return functional.conv2d(spread, weight).view(batch, 4, anchors)
