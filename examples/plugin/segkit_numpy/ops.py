"""One small function for every ATen operator that a captured network uses, with the arguments of the operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]
Pair = Sequence[int]

OPS: dict[str, Callable[..., Any]] = {
    "getitem": lambda values, index: values[index],
    "add.Tensor": np.add,
    "sub.Tensor": np.subtract,
    "mul.Tensor": np.multiply,
    "div.Tensor": np.divide,
    "cat.default": np.concatenate,
    "view.default": np.reshape,
    "transpose.int": np.swapaxes,
    "unsqueeze.default": np.expand_dims,
}
"""By the operator's name and overload. An exporter that meets another one refuses the model."""


def op(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function in OPS."""
    return lambda function: OPS.setdefault(name, function)


@op("sigmoid.default")
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), written with tanh, which cannot overflow."""
    out: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return out


@op("silu.default")
def silu(x: Array) -> Array:
    """The network's activation."""
    out: Array = x * sigmoid(x)
    return out


@op("softmax.int")
def softmax(x: Array, dim: int) -> Array:
    """Exponentials that add up to one along an axis."""
    powers = np.exp(x - x.max(dim, keepdims=True))
    out: Array = powers / powers.sum(dim, keepdims=True)
    return out


@op("split_with_sizes.default")
def split_with_sizes(x: Array, sizes: Sequence[int], dim: int = 0) -> list[Array]:
    """Pieces of the given lengths."""
    return np.split(x, np.cumsum(sizes[:-1]), dim)


@op("split.Tensor")
def split(x: Array, size: int, dim: int = 0) -> list[Array]:
    """Pieces of one length."""
    return np.split(x, range(size, x.shape[dim], size), dim)


@op("conv2d.default")
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """(B, C, H, W) with weight (O, C / groups, h, w): patches under the kernel as columns, then one matrix product."""
    outputs, _, *kernel = weight.shape
    patches = _windows(_padded(x, padding, 0.0), kernel, stride, dilation)
    batch, channels, height, width, *_ = patches.shape
    columns = patches.transpose(0, 1, 4, 5, 2, 3).reshape(batch, groups, channels // groups * kernel[0] * kernel[1], -1)
    out: Array = (weight.reshape(groups, outputs // groups, -1) @ columns).reshape(batch, outputs, height, width)
    return out if bias is None else np.add(out, bias[:, None, None], out=out)


@op("conv_transpose2d.input")
def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """(B, C, H, W) with weight (C, O, h, w): every input pixel paints its kernel on the output, and overlaps add up."""
    (batch, channels, height, width), (_, outputs, *kernel) = x.shape, weight.shape
    out = np.zeros((batch, outputs, (height - 1) * stride[0] + kernel[0], (width - 1) * stride[1] + kernel[1]), x.dtype)
    pixels = x.reshape(batch, channels, -1)
    for i, j in np.ndindex(*kernel):
        painted = (weight[:, :, i, j].T @ pixels).reshape(batch, outputs, height, width)
        out[:, :, i : i + height * stride[0] : stride[0], j : j + width * stride[1] : stride[1]] += painted
    top, left = padding
    out = out[:, :, top : out.shape[2] - top, left : out.shape[3] - left]
    return out if bias is None else out + bias[:, None, None]


@op("max_pool2d.default")
def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> Array:
    """The largest value under the window."""
    out: Array = _windows(_padded(x, padding, -np.inf), kernel, stride, dilation).max((4, 5))
    return out


@op("upsample_nearest2d.vec")
def upsample_nearest2d(x: Array, size: Pair | None, scales: Sequence[float]) -> Array:
    """Every pixel repeated."""
    return x.repeat(int(scales[0]), 2).repeat(int(scales[1]), 3)


def _padded(x: Array, padding: Pair, value: float) -> Array:
    """A border on the last two axes."""
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), constant_values=value)


def _windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair) -> Array:
    """What the kernel sees at every place, without a copy: (B, C, H, W, h, w)."""
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    view = sliding_window_view(x, reach, axis=(2, 3))  # type: ignore[call-overload]
    seen: Array = view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return seen
