"""Paddle's operators for those of a captured network. Layouts agree: both are NCHW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from segkit.core.graph import Lowering, Step
from segkit.plugins.paddle.importing import paddle

aten = torch.ops.aten

Value = Any
"""A value of a static program of Paddle (`paddle.pir.Value`)."""

Pair = Sequence[int]
Length = Any
"""A whole number, or a value that stands for one."""

OPERATORS: Lowering[Value] = Lowering("paddle", __name__)


@OPERATORS.register(aten.conv2d.default)
def _conv2d(
    step: Step,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Value:
    return paddle().nn.functional.conv2d(x, weight, bias, list(stride), list(padding), list(dilation), groups)


@OPERATORS.register(aten.conv_transpose2d.input)
def _conv_transpose2d(
    step: Step,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> Value:
    sizes = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    given = {name: list(pair) for name, pair in sizes.items()}
    return paddle().nn.functional.conv2d_transpose(x, weight, bias, groups=groups, **given)


@OPERATORS.register(aten.max_pool2d.default)
def _max_pool2d(
    step: Step,
    x: Value,
    kernel: Pair,
    stride: Pair = (),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> Value:
    if any(reach != 1 for reach in dilation):
        raise ValueError(f"Paddle pools without dilation, not with {list(dilation)}")
    return paddle().nn.functional.max_pool2d(
        x, list(kernel), list(stride or kernel), list(padding), ceil_mode=ceil_mode
    )


@OPERATORS.register(aten.upsample_nearest2d.vec)
def _upsample(step: Step, x: Value, size: Pair | None, scales: Sequence[float] | None) -> Value:
    if scales is None:
        return paddle().nn.functional.interpolate(x, size=size, mode="nearest")
    return paddle().nn.functional.interpolate(x, scale_factor=list(scales), mode="nearest")


@OPERATORS.register(aten.silu.default)
def _silu(step: Step, x: Value) -> Value:
    # The same function as silu, but the one that oneDNN's passes merge into the convolution before it: with silu itself
    # every layer goes to another layout and back, and a run takes half as long again.
    return paddle().nn.functional.swish(x)


@OPERATORS.register(aten.sigmoid.default)
def _sigmoid(step: Step, x: Value) -> Value:
    return paddle().nn.functional.sigmoid(x)


@OPERATORS.register(aten.softmax.int)
def _softmax(step: Step, x: Value, dim: int, dtype: Any = None) -> Value:
    return paddle().nn.functional.softmax(x, dim)


@OPERATORS.register(aten.add.Tensor)
def _add(step: Step, x: Value, y: Value, *, alpha: float = 1) -> Value:
    return x + (y if alpha == 1 else y * alpha)


@OPERATORS.register(aten.sub.Tensor)
def _sub(step: Step, x: Value, y: Value, *, alpha: float = 1) -> Value:
    return x - (y if alpha == 1 else y * alpha)


@OPERATORS.register(aten.mul.Tensor)
def _mul(step: Step, x: Value, y: Value) -> Value:
    return x * y


@OPERATORS.register(aten.div.Tensor)
def _div(step: Step, x: Value, y: Value) -> Value:
    return x / y


@OPERATORS.register(aten.cat.default)
def _cat(step: Step, parts: Sequence[Value], dim: int = 0) -> Value:
    return paddle().concat(list(parts), dim)


@OPERATORS.register(aten.stack.default)
def _stack(step: Step, parts: Sequence[Value], dim: int = 0) -> Value:
    return paddle().stack(list(parts), dim)


@OPERATORS.register(aten.split_with_sizes.default)
def _split(step: Step, x: Value, sizes: Sequence[int], dim: int = 0) -> Value:
    return paddle().split(x, num_or_sections=list(sizes), axis=dim)


@OPERATORS.register(aten.view.default)
def _view(step: Step, x: Value, sides: Sequence[Length]) -> Value:
    free = [place for place, side in enumerate(step.sides) if side is None]
    if len(free) == 1:  # Paddle works it out, and needs no operators for it
        sides = [-1 if place in free else side for place, side in enumerate(sides)]
    return paddle().reshape(x, list(sides))


@OPERATORS.register(aten.transpose.int)
def _transpose(step: Step, x: Value, one: int, other: int) -> Value:
    order = list(range(len(step.sides)))
    order[one], order[other] = order[other], order[one]
    return paddle().transpose(x, order)


@OPERATORS.register(aten.unsqueeze.default)
def _unsqueeze(step: Step, x: Value, dim: int) -> Value:
    return paddle().unsqueeze(x, dim)


@OPERATORS.register(aten.expand.default)
def _expand(step: Step, x: Value, sides: Sequence[Length]) -> Value:
    return paddle().expand(x, list(sides))


# What anchors are computed with where the size is free.


@OPERATORS.register(aten.sym_size.int)
def _side(step: Step, x: Value, dim: int) -> Value:
    return paddle().shape(x)[dim]


@OPERATORS.register(aten.arange.default)
def _arange(step: Step, end: Length, **_: object) -> Value:
    return paddle().arange(0, end, 1, dtype="int64")


@OPERATORS.register(aten.new_ones.default)
def _new_ones(step: Step, x: Value, sides: Sequence[Length], **_: object) -> Value:
    return paddle().ones(list(sides), x.dtype)


@OPERATORS.register(aten.type_as.default)
def _type_as(step: Step, x: Value, other: Value) -> Value:
    return paddle().cast(x, other.dtype)
