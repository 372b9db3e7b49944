"""TensorFlow's operators for those of a captured network, in NHWC: each value knows how its axes lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import SymInt

from segkit.core.graph import Lowering, Step
from segkit.plugins.saved_model.values import (
    NHWC,
    Array,
    Tensor,
    Value,
    arranged,
    constant,
    padding_of,
    regrouped,
    tensor,
)
from segkit.plugins.shared.tensorflow import tf

aten = torch.ops.aten

Pair = Sequence[int]
Length = Any
"""A whole number, or a scalar of the graph that stands for one."""

OPERATORS: Lowering[Value] = Lowering("saved_model", __name__)


@OPERATORS.register(aten.conv2d.default)
def _conv2d(
    step: Step,
    x: Tensor,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    out, inside, *kernel = weight.shape
    plain = groups == 1 and kernel == [1, 1] and list(stride) == [1, 1] and not any(padding)
    if not (plain and x.axis(1) == x.rank - 1):  # a layer that mixes channels alone takes any places
        x = x.to(NHWC)
    pad = padding_of(kernel, stride, padding, dilation)
    steps, reach = list(stride), list(dilation)
    if groups == 1:
        made = tf.nn.conv2d(x.data, _kernel(weight), steps, pad, dilations=reach)
    elif inside == 1 and steps[0] == steps[1]:
        # (groups · multiplier, 1, h, w) → (h, w, groups, multiplier)
        filters = constant(weight.reshape(groups, out // groups, *kernel).transpose(2, 3, 0, 1))
        # With numbers for the padding TensorFlow's kernel ends the process.
        data, pad = (x.data, pad) if isinstance(pad, str) else (tf.pad(x.data, pad), "VALID")
        made = tf.nn.depthwise_conv2d(data, filters, [1, *steps, 1], pad, dilations=reach)
    else:  # not every runtime has an operator with groups
        parts = zip(tf.split(x.data, groups, 3), np.split(weight, groups), strict=True)
        made = tf.concat([tf.nn.conv2d(part, _kernel(own), steps, pad, dilations=reach) for part, own in parts], 3)
    return x.like(made if bias is None else tf.nn.bias_add(made, constant(bias)))


@OPERATORS.register(aten.conv_transpose2d.input)
def _conv_transpose2d(
    step: Step,
    x: Tensor,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> Tensor:
    if groups != 1 or any(output_padding) or any(reach != 1 for reach in dilation):
        raise ValueError("a transposed convolution with groups, output padding or dilation is not implemented")
    x = x.to(NHWC)
    kernel = weight.shape[2:]
    batch, height, width = _lengths(x.data, (0, 1, 2))
    sides = [(side - 1) * move + reach for side, move, reach in zip((height, width), stride, kernel, strict=True)]
    shape = _shape([batch, *sides, weight.shape[1]])
    made = tf.nn.conv2d_transpose(x.data, _kernel(weight), shape, list(stride), "VALID")
    rows, columns = padding
    made = made[:, rows : sides[0] - rows, columns : sides[1] - columns] if rows or columns else made
    return x.like(made if bias is None else tf.nn.bias_add(made, constant(bias)))


@OPERATORS.register(aten.max_pool2d.default)
def _max_pool2d(
    step: Step,
    x: Tensor,
    kernel: Pair,
    stride: Pair = (),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> Tensor:
    if ceil_mode or any(reach != 1 for reach in dilation):
        raise ValueError("pooling with dilation or rounded up is not implemented")
    x = x.to(NHWC)
    steps = list(stride or kernel)
    return x.like(tf.nn.max_pool2d(x.data, list(kernel), steps, padding_of(kernel, steps, padding, dilation)))


@OPERATORS.register(aten.upsample_nearest2d.vec)
def _upsample(step: Step, x: Tensor, size: Sequence[Length] | None, scales: Sequence[float] | None) -> Tensor:
    if scales is None or any(scale != int(scale) for scale in scales):
        raise ValueError("only enlarging by whole numbers is implemented")
    x = x.to(NHWC)
    sides = [side * int(scale) for side, scale in zip(_lengths(x.data, (1, 2)), scales, strict=True)]
    # By whole numbers all conventions agree on where a pixel comes from; this one is the oldest, which every runtime
    # knows.
    return x.like(tf.compat.v1.image.resize_nearest_neighbor(x.data, _shape(sides)))


@OPERATORS.register(aten.silu.default)
def _silu(step: Step, x: Tensor) -> Tensor:
    # Not tf.nn.silu, whose graph has one more multiplication.
    return x.like(x.data * tf.sigmoid(x.data))


@OPERATORS.register(aten.sigmoid.default)
def _sigmoid(step: Step, x: Tensor) -> Tensor:
    return x.like(tf.sigmoid(x.data))


@OPERATORS.register(aten.softmax.int)
def _softmax(step: Step, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    return x.like(tf.nn.softmax(x.data, x.axis(dim)))


@OPERATORS.register(aten.add.Tensor)
def _add(step: Step, x: Value, y: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(lambda one, other: one + (other if alpha == 1 else other * alpha), x, y)


@OPERATORS.register(aten.sub.Tensor)
def _sub(step: Step, x: Value, y: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(lambda one, other: one - (other if alpha == 1 else other * alpha), x, y)


@OPERATORS.register(aten.mul.Tensor)
def _mul(step: Step, x: Value, y: Any) -> Value:
    return _arithmetic(lambda one, other: one * other, x, y)


@OPERATORS.register(aten.div.Tensor)
def _div(step: Step, x: Value, y: Any) -> Value:
    return _arithmetic(lambda one, other: one / other, x, y)


@OPERATORS.register(aten.cat.default)
def _cat(step: Step, parts: Sequence[Value], dim: int = 0) -> Tensor:
    # As most of them lie: transposing the others is the least work.
    orders = [part.order for part in parts if isinstance(part, Tensor)] or [tuple(range(len(step.sides)))]
    order = max(orders, key=orders.count)
    data = [tensor(part).to(order).data for part in parts]
    return Tensor(tf.concat(data, order[dim]), order)


@OPERATORS.register(aten.stack.default)
def _stack(step: Step, parts: Sequence[Value], dim: int = 0) -> Tensor:
    made = tf.stack([tensor(part).natural().data for part in parts], dim)
    return Tensor(made, tuple(range(len(step.sides))))


@OPERATORS.register(aten.split_with_sizes.default)
def _split(step: Step, x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    # Equal parts by their number: that operator is one of those that accelerators know.
    parts = len(sizes) if len({*sizes}) == 1 else list(sizes)
    return [x.like(part) for part in tf.split(x.data, parts, x.axis(dim))]


@OPERATORS.register(aten.view.default)
def _view(step: Step, x: Value, sides: Sequence[Length]) -> Value:
    """Merging and dividing dimensions keeps the other ones, and with them how the axes lie."""
    if not isinstance(x, Tensor):
        return x.reshape([int(side) for side in sides])
    x, dims = regrouped(x, known_sides(step.node.args[0]), known_sides(step.node))
    wanted = [side if length is None else length for side, length in zip(sides, step.sides, strict=True)]
    free = [dim for dim, length in enumerate(step.sides) if length is None]
    if len(free) == 1:  # TensorFlow works it out, and needs no operators for it
        wanted[free[0]] = -1
    data = tf.reshape(x.data, _shape([wanted[dim] for dim in dims]))
    return Tensor(data, tuple(dims.index(dim) for dim in range(len(dims))))


@OPERATORS.register(aten.transpose.int)
def _transpose(step: Step, x: Tensor, one: int, other: int) -> Tensor:
    order = list(x.order)
    order[one], order[other] = order[other], order[one]
    return Tensor(x.data, tuple(order))


@OPERATORS.register(aten.unsqueeze.default)
def _unsqueeze(step: Step, x: Value, dim: int) -> Value:
    if not isinstance(x, Tensor):
        return np.expand_dims(x, dim)
    dim %= x.rank + 1
    axis = x.axis(dim) if dim < x.rank else x.rank
    order = [place + (place >= axis) for place in x.order]
    order.insert(dim, axis)
    return Tensor(tf.expand_dims(x.data, axis), tuple(order))


@OPERATORS.register(aten.expand.default)
def _expand(step: Step, x: Value, sides: Sequence[Length]) -> Tensor:
    made = tensor(x).raised(len(sides)).natural()
    now = _lengths(made.data, range(made.rank))
    wanted = [old if isinstance(side, int) and side == -1 else side for side, old in zip(sides, now, strict=True)]
    return made.like(tf.broadcast_to(made.data, _shape(wanted)))


# What anchors are computed with where the size is free.


@OPERATORS.register(aten.sym_size.int)
def _side(step: Step, x: Tensor, dim: int) -> Any:
    return tf.shape(x.data)[x.axis(dim)]


@OPERATORS.register(aten.arange.default)
def _arange(step: Step, end: Length, **_: object) -> Tensor:
    return Tensor(tf.range(end), (0,))


@OPERATORS.register(aten.new_ones.default)
def _new_ones(step: Step, x: Value, sides: Sequence[Length], **_: object) -> Tensor:
    return Tensor(tf.ones(_shape(sides), tensor(x).data.dtype), tuple(range(len(sides))))


@OPERATORS.register(aten.type_as.default)
def _type_as(step: Step, x: Value, other: Value) -> Tensor:
    x = tensor(x)
    return x.like(tf.cast(x.data, tensor(other).data.dtype))


def _arithmetic(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Value:
    """Of two values, or of one and a number; the axes lie as in the one of higher rank."""
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        return np.asarray(function(x, y))
    ranks = [value.rank if isinstance(value, Tensor) else np.ndim(value) for value in (x, y)]
    leading = x if isinstance(x, Tensor) and (ranks[0] >= ranks[1] or not isinstance(y, Tensor)) else y
    if max(ranks) > leading.rank:
        leading = leading.raised(max(ranks))
    one, other = (_fitted(value, leading) for value in (x, y))
    return leading.like(function(one, other))


def _fitted(value: Any, leading: Tensor) -> Any:
    """What enters arithmetic with a tensor."""
    if isinstance(value, Tensor):
        return value.raised(leading.rank).to(leading.order).data
    if isinstance(value, np.ndarray) and value.ndim:
        return constant(arranged(value, leading.order))
    return tf.cast(value, leading.data.dtype) if tf.is_tensor(value) else value


def _kernel(weight: Array) -> Any:
    """(a, b, h, w) → (h, w, b, a), as TensorFlow has them for both kinds of convolution."""
    return constant(weight.transpose(2, 3, 1, 0))


def _lengths(data: Any, axes: Sequence[int]) -> list[Length]:
    """Sides of a tensor: numbers where they are known, else scalars of the graph."""
    known = data.shape.as_list()
    return [tf.shape(data)[axis] if known[axis] is None else known[axis] for axis in axes]


def _shape(sides: Sequence[Length]) -> Any:
    """A list of numbers if all are known, else a tensor."""
    return tf.stack(list(sides)) if any(tf.is_tensor(side) for side in sides) else [int(side) for side in sides]


def known_sides(node: Any) -> list[int | str]:
    """Sides of a node's result, so that those which are equal in every run compare equal."""
    return [str(side.node.expr) if isinstance(side, SymInt) else int(side) for side in node.meta["val"].shape]
