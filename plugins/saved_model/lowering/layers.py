"""Layers of Keras for the operators of a captured network, so that it can be saved as a model of Keras; NHWC, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch

from segkit.core.graph import Lowering, Step
from segkit.plugins.saved_model.lowering import known_sides
from segkit.plugins.saved_model.values import NHWC, Array, Tensor, arranged, padding_of, regrouped
from segkit.plugins.shared.tensorflow import tf

aten = torch.ops.aten

assert tf  # which Keras computes with, imported the way it is to be
keras: Any = import_module("keras")

Pair = Sequence[int]

LAYERS: Lowering[Any] = Lowering("saved_model", __name__)


@dataclass(frozen=True)
class Symbol(Tensor):
    """A tensor of Keras; its first axis is the batch, which layers do not name."""

    def transposed(self, axes: list[int]) -> Any:
        """The data with its axes in this order."""
        if axes[0] != 0:
            raise ValueError("a layer of Keras leaves the batch in front")
        return keras.layers.Permute(axes[1:])(self.data)


@LAYERS.register(aten.conv2d.default)
def _conv2d(
    step: Step,
    x: Symbol,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Symbol:
    out, inside, *kernel = weight.shape
    if x.axis(1) != x.rank - 1 or kernel != [1, 1]:
        x = x.to(NHWC)
    data, pad = _padded(x.data, kernel, stride, padding, dilation)
    given = {
        "kernel_size": kernel,
        "strides": list(stride),
        "padding": pad,
        "dilation_rate": list(dilation),
        "use_bias": bias is not None,
        "name": _name(step),
    }
    if groups > 1 and inside == 1:
        layer = keras.layers.DepthwiseConv2D(depth_multiplier=out // groups, **given)
        filters = weight.reshape(groups, out // groups, *kernel).transpose(2, 3, 0, 1)
    else:
        layer = keras.layers.Conv2D(out, groups=groups, **given)
        filters = weight.transpose(2, 3, 1, 0)
    return x.like(_called(layer, data, filters, bias))


@LAYERS.register(aten.conv_transpose2d.input)
def _conv_transpose2d(
    step: Step,
    x: Symbol,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    *others: Any,
) -> Symbol:
    if any(padding) or any(other != plain for other, plain in zip(others, ([0, 0], 1, [1, 1]), strict=False)):
        raise ValueError("a transposed convolution with padding, groups or dilation is not implemented")
    x = x.to(NHWC)
    layer = keras.layers.Conv2DTranspose(
        weight.shape[1], weight.shape[2:], list(stride), "valid", use_bias=bias is not None, name=_name(step)
    )
    return x.like(_called(layer, x.data, weight.transpose(2, 3, 1, 0), bias))


@LAYERS.register(aten.max_pool2d.default)
def _max_pool2d(step: Step, x: Symbol, kernel: Pair, stride: Pair = (), padding: Pair = (0, 0), *others: Any) -> Symbol:
    x = x.to(NHWC)
    pad = padding_of(kernel, stride or kernel, padding, (1, 1))
    if not isinstance(pad, str) or others:
        raise ValueError("pooling with padding of its own is not implemented")
    return x.like(keras.layers.MaxPooling2D(list(kernel), list(stride or kernel), pad.lower())(x.data))


@LAYERS.register(aten.upsample_nearest2d.vec)
def _upsample(step: Step, x: Symbol, size: Any, scales: Sequence[float] | None) -> Symbol:
    if scales is None or any(scale != int(scale) for scale in scales):
        raise ValueError("only enlarging by whole numbers is implemented")
    x = x.to(NHWC)
    return x.like(keras.layers.UpSampling2D([int(scale) for scale in scales])(x.data))


@LAYERS.register(aten.silu.default)
def _silu(step: Step, x: Symbol) -> Symbol:
    return x.like(keras.layers.Activation("silu")(x.data))


@LAYERS.register(aten.sigmoid.default)
def _sigmoid(step: Step, x: Symbol) -> Symbol:
    return x.like(keras.layers.Activation("sigmoid")(x.data))


@LAYERS.register(aten.softmax.int)
def _softmax(step: Step, x: Symbol, dim: int, dtype: Any = None) -> Symbol:
    return x.like(keras.layers.Softmax(x.axis(dim))(x.data))


@LAYERS.register(aten.add.Tensor)
def _add(step: Step, x: Any, y: Any) -> Symbol:
    return _arithmetic(keras.ops.add, x, y)


@LAYERS.register(aten.sub.Tensor)
def _sub(step: Step, x: Any, y: Any) -> Symbol:
    return _arithmetic(keras.ops.subtract, x, y)


@LAYERS.register(aten.mul.Tensor)
def _mul(step: Step, x: Any, y: Any) -> Symbol:
    return _arithmetic(keras.ops.multiply, x, y)


@LAYERS.register(aten.div.Tensor)
def _div(step: Step, x: Any, y: Any) -> Symbol:
    return _arithmetic(keras.ops.divide, x, y)


@LAYERS.register(aten.cat.default)
def _cat(step: Step, parts: Sequence[Symbol], dim: int = 0) -> Symbol:
    order = parts[0].order
    return parts[0].like(keras.layers.Concatenate(order[dim])([part.to(order).data for part in parts]))


@LAYERS.register(aten.split_with_sizes.default)
def _split(step: Step, x: Symbol, sizes: Sequence[int], dim: int = 0) -> list[Symbol]:
    ends = [int(end) for end in np.cumsum(sizes[:-1])]
    return [x.like(part) for part in keras.ops.split(x.data, ends, x.axis(dim))]


@LAYERS.register(aten.view.default)
def _view(step: Step, x: Symbol, sides: Sequence[int]) -> Symbol:
    x, dims = regrouped(x, known_sides(step.node.args[0]), known_sides(step.node))
    if dims[0] != 0:
        raise ValueError("a layer of Keras leaves the batch in front")
    data = keras.layers.Reshape([step.sides[dim] for dim in dims[1:]])(x.data)
    return Symbol(data, tuple(dims.index(dim) for dim in range(len(dims))))


@LAYERS.register(aten.transpose.int)
def _transpose(step: Step, x: Symbol, one: int, other: int) -> Symbol:
    order = list(x.order)
    order[one], order[other] = order[other], order[one]
    return Symbol(x.data, tuple(order))


def _arithmetic(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Symbol:
    leading: Symbol = x if isinstance(x, Symbol) else y
    one, other = (_fitted(value, leading) for value in (x, y))
    return leading.like(function(one, other))


def _fitted(value: Any, leading: Symbol) -> Any:
    if isinstance(value, Symbol):
        return value.to(leading.order).data
    return arranged(value, leading.order) if isinstance(value, np.ndarray) and value.ndim else value


def _padded(data: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple[Any, str]:
    """The map and the padding that a layer is told; what has no name becomes a layer of its own."""
    pad = padding_of(kernel, stride, padding, dilation)
    return (data, pad.lower()) if isinstance(pad, str) else (keras.layers.ZeroPadding2D(tuple(padding))(data), "valid")


def _called(layer: Any, data: Any, filters: Array, bias: Array | None) -> Any:
    made = layer(data)
    layer.set_weights([np.asarray(part, np.float32) for part in (filters, bias) if part is not None])
    return made


def _name(step: Step) -> str:
    return step.layer.replace(".", "_") or str(step.node.name)
