"""What the operators of an ML Program compute, in numpy: exact in float32, and in no hurry.

Each function is called with the operator's inputs by the names that MIL gives them, so its signature is the list of
what it understands. Meanings are those of Core ML's documentation of MIL operators (iOS 15 to 17). Numbers of half
precision come as float32 and are rounded by the caller, after every operator that makes new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.plugins.coreml import layers
from segkit.plugins.coreml.survivors import non_maximum_suppression

Array = NDArray[Any]
Result = Array | list[Array] | tuple[Array, ...]
Operator = Callable[..., Result]

NAMES = {"fp16": np.float32, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}
NAMES |= {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16}
"""What a `cast` may ask for; fp16 is rounded by the caller."""


def whole(value: Array) -> list[int]:
    """A tensor of whole numbers as a list."""
    return [int(number) for number in np.asarray(value).reshape(-1)]


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    with np.errstate(over="ignore"):  # e^-x is infinite far below zero, and its reciprocal is the right 0
        out: Array = np.exp(-x)
    out += 1
    return np.reciprocal(out, out=out)


def silu(x: Array) -> Array:
    """A number times its sigmoid."""
    with np.errstate(over="ignore"):
        out: Array = np.exp(-x)
    out += 1
    return np.divide(x, out, out=out)


def softmax(x: Array, axis: Array) -> Array:
    """Over one axis; the largest is subtracted first, so nothing overflows."""
    out: Array = np.exp(x - x.max(int(axis), keepdims=True))
    out /= out.sum(int(axis), keepdims=True)
    return out


def split(x: Array, axis: Array, num_splits: Array | None = None, split_sizes: Array | None = None) -> list[Array]:
    """Parts along an axis: views."""
    if split_sizes is None:
        return np.split(x, int(num_splits or 1), int(axis))
    return np.split(x, np.cumsum(whole(split_sizes))[:-1], int(axis))


def concat(values: list[Array], axis: Array, interleave: Array | None = None) -> Array:
    """Joined along an axis."""
    if interleave is not None and bool(interleave):
        raise ValueError("interleaved concat is not understood")
    return np.concatenate(values, int(axis))


def reshape(x: Array, shape: Array) -> Array:
    """Another shape; 0 keeps a side, -1 stands for what is left."""
    sides = [x.shape[place] if side == 0 else side for place, side in enumerate(whole(shape))]
    return x.reshape(sides)


def transpose(x: Array, perm: Array) -> Array:
    """Axes in another order: a view."""
    return x.transpose(whole(perm))


def expand_dims(x: Array, axes: Array) -> Array:
    """New axes of one."""
    return np.expand_dims(x, tuple(whole(axes)))


def squeeze(x: Array, axes: Array | None = None) -> Array:
    """Without axes of one."""
    return np.squeeze(x, None if axes is None else tuple(whole(axes)))


def tile(x: Array, reps: Array) -> Array:
    """Repeated along each axis."""
    return np.tile(x, whole(reps))


def cast(x: Array, dtype: str) -> Array:
    """Of another type; a number with a fraction is cut to a whole one."""
    if dtype not in NAMES:
        raise ValueError(f"cast to {dtype} is not understood")
    return x.astype(NAMES[dtype])


def select(cond: Array, a: Array, b: Array) -> Array:
    """`a` where the condition holds, else `b`."""
    return np.where(cond, a, b)


def gather(x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0) -> Array:
    """Slices along an axis, by their places."""
    if int(batch_dims):
        raise ValueError("gather with batch_dims is not understood")
    return np.take(x, indices, int(axis))


def gather_along_axis(x: Array, indices: Array, axis: Array | int = 0) -> Array:
    """One element for each index, along an axis."""
    return np.take_along_axis(x, indices.astype(np.int64), int(axis))


def reduced(function: Callable[..., Array]) -> Operator:
    """A reduction over `axes`, all by default."""

    def reduce(x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
        return np.asarray(function(x, axis=None if axes is None else tuple(whole(axes)), keepdims=bool(keep_dims)))

    return reduce


def reduce_argmax(x: Array, axis: Array | int = -1, keep_dims: Array | bool = True) -> Array:
    """Place of the first largest element along an axis."""
    places: Array = np.argmax(x, int(axis), keepdims=bool(keep_dims))
    return places.astype(np.int32)


def slice_by_index(
    x: Array,
    begin: Array,
    end: Array,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> Array:
    """From `begin` to `end` along each axis, or to the edge where a mask says so: a view."""
    rank = x.ndim
    steps = [1] * rank if stride is None else whole(stride)
    open_start, open_end, single = (
        [False] * rank if mask is None else [bool(bit) for bit in whole(mask)]
        for mask in (begin_mask, end_mask, squeeze_mask)
    )
    index: list[int | slice] = []
    for place, (first, last) in enumerate(zip(whole(begin), whole(end), strict=True)):
        if single[place]:
            index.append(first)
        else:
            start, stop = None if open_start[place] else first, None if open_end[place] else last
            index.append(slice(start, stop, steps[place]))
    return x[tuple(index)]


def slice_by_size(x: Array, begin: Array, size: Array) -> Array:
    """`size` elements from `begin` along each axis, -1 for all that follow: a view."""
    pairs = zip(whole(begin), whole(size), strict=True)
    return x[tuple(slice(start, None if count < 0 else start + count) for start, count in pairs)]


def clip(x: Array, alpha: Array, beta: Array) -> Array:
    """Between two bounds."""
    return np.clip(x, alpha, beta)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The product x · weightᵀ, and a bias."""
    out: Array = x @ weight.T
    return out if bias is None else out + bias


def matmul(x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False) -> Array:
    """Product of matrices, over leading axes."""
    one = np.swapaxes(x, -1, -2) if transpose_x else x
    other = np.swapaxes(y, -1, -2) if transpose_y else y
    out: Array = np.matmul(one, other)
    return out


def divided(x: Array, y: Array) -> Array:
    """Their quotient; of whole numbers its floor."""
    return np.floor_divide(x, y) if x.dtype.kind in "iu" else np.divide(x, y)


# -- constants that are kept in fewer bits


def constexpr_affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: Array) -> Array:
    """Products scale · (number - zero point), both for all or for each slice along an axis."""
    along = [1] * quantized_data.ndim
    along[int(axis)] = -1
    zero, step = (part.reshape(along) if part.ndim else part for part in (zero_point, scale))
    return (quantized_data.astype(np.float32) - zero.astype(np.float32)) * step.astype(np.float32)


def constexpr_lut_to_dense(
    indices: Array, lut: Array, shape: Array | None = None, vector_axis: Array | None = None
) -> Array:
    """Numbers of a table. Up to iOS 17 the indices are bits in a row and the table one line; later, indices have the
    tensor's own shape and the table (…, numbers, 1), one for each block.
    """
    if shape is not None:
        count, bits = int(np.prod(whole(shape))), max(len(lut).bit_length() - 1, 1)
        stream = np.unpackbits(indices.view(np.uint8), count=count * bits, bitorder="little").reshape(count, bits)
        places = stream.astype(np.int64) @ (1 << np.arange(bits))
        return lut[places].reshape(whole(shape))
    if vector_axis is not None or lut.shape[-1] != 1 or any(side != 1 for side in lut.shape[: indices.ndim]):
        raise ValueError("tables of vectors, or of several groups, are not understood")
    return lut.reshape(-1)[indices.astype(np.int64)]


def constexpr_blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """Products scale · (number - offset), each for a block of the tensor."""
    blocks = [side // parts for side, parts in zip(data.shape, scale.shape, strict=True)]

    def spread(part: Array) -> Array:
        for place, length in enumerate(blocks):
            part = np.repeat(part, length, place)
        return part.astype(np.float32)

    shifted = data.astype(np.float32)
    if offset is not None:
        shifted = shifted - spread(offset)
    return shifted * spread(scale)


def constexpr_cast(source_val: Array, output_dtype: str) -> Array:
    """A constant kept in half precision."""
    return cast(source_val, output_dtype)


def same(x: Array) -> Array:
    """The value itself."""
    return x


OPERATORS: dict[str, Operator] = {
    "add": np.add,
    "avg_pool": layers.avg_pool,
    "cast": cast,
    "clip": clip,
    "concat": concat,
    "conv": layers.conv,
    "conv_transpose": layers.conv_transpose,
    "equal": np.equal,
    "exp": np.exp,
    "expand_dims": expand_dims,
    "floor": np.floor,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "identity": same,
    "less": np.less,
    "less_equal": np.less_equal,
    "linear": linear,
    "logical_and": np.logical_and,
    "logical_not": np.logical_not,
    "logical_or": np.logical_or,
    "matmul": matmul,
    "max_pool": layers.max_pool,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "non_maximum_suppression": non_maximum_suppression,
    "not_equal": np.not_equal,
    "pow": np.power,
    "real_div": divided,
    "reduce_argmax": reduce_argmax,
    "reduce_max": reduced(np.max),
    "reduce_mean": reduced(np.mean),
    "reduce_min": reduced(np.min),
    "reduce_sum": reduced(np.sum),
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "reshape": reshape,
    "select": select,
    "sigmoid": sigmoid,
    "silu": silu,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "softmax": softmax,
    "split": split,
    "sqrt": np.sqrt,
    "squeeze": squeeze,
    "sub": np.subtract,
    "tanh": np.tanh,
    "tile": tile,
    "transpose": transpose,
    "upsample_nearest_neighbor": layers.upsample_nearest_neighbor,
}
"""Everything that a program may do."""

CONSTANTS: dict[str, Operator] = {
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": constexpr_blockwise_shift_scale,
    "constexpr_cast": constexpr_cast,
    "constexpr_lut_to_dense": constexpr_lut_to_dense,
}
"""Those whose inputs are known when the file is loaded, and which are computed then."""

POSITIONAL = {name: ("x", "y") for name, operator in OPERATORS.items() if isinstance(operator, np.ufunc)}
"""Ufuncs take their inputs by place."""

MOVING = {"concat", "expand_dims", "gather", "gather_along_axis", "identity", "max_pool", "maximum", "minimum", "relu"}
MOVING |= {"reduce_max", "reduce_min", "reshape", "select", "slice_by_index", "slice_by_size", "split", "squeeze"}
MOVING |= {"tile", "transpose", "upsample_nearest_neighbor"}
"""Those that make no new numbers: there is nothing to round."""
