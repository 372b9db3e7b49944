"""Operators that look at windows of a picture: convolutions by matrix products, pooling, enlarging.

Pictures are (B, C, H, W). A convolution copies its windows into columns, some rows at a time so that they stay in the
processor's cache, and multiplies: nearly all the time is spent in the BLAS library that numpy brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Pads = tuple[tuple[int, int], tuple[int, int]]

Each = Callable[[Callable[[Any], object], Iterable[Any]], None]
"""Calls a function with every item."""

COLUMNS = 1 << 19
"""Numbers in one block of columns: two megabytes."""


def one_by_one(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Every item in turn."""
    for item in items:
        work(item)


def pair(value: Array | None, default: int = 1) -> tuple[int, int]:
    """Two whole numbers, for rows and columns."""
    if value is None:
        return default, default
    rows, columns = (int(number) for number in np.asarray(value).reshape(-1))
    return rows, columns


def pads(
    kind: str, given: Array | None, sides: tuple[int, int], windows: tuple[int, int], strides: tuple[int, int]
) -> Pads:
    """What is added before and behind rows and columns.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "valid":
        return (0, 0), (0, 0)
    if kind == "custom":
        top, bottom, left, right = (int(number) for number in np.asarray(given).reshape(-1))
        return (top, bottom), (left, right)
    if kind not in ("same", "same_lower"):
        raise ValueError(f"pad_type '{kind}' is not understood")
    found = []
    for side, window, stride in zip(sides, windows, strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + window - side, 0)
        less = total // 2
        found.append((less, total - less) if kind == "same" else (total - less, less))
    return found[0], found[1]


def padded(x: Array, around: Pads, value: float = 0) -> Array:
    """A picture with a frame; itself where there is none."""
    if around == ((0, 0), (0, 0)):
        return x
    (top, bottom), (left, right) = around
    height, width = x.shape[2:]
    out = np.full((*x.shape[:2], top + height + bottom, left + width + right), value, x.dtype)
    out[:, :, top : top + height, left : left + width] = x
    return out


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
    *,
    each: Each = one_by_one,
) -> Array:
    """(B, C, H, W) and weights (O, C / groups, h, w) → (B, O, H', W'); `each` may spread the work over threads."""
    if x.ndim != 4:
        raise ValueError(f"conv over {x.ndim - 2} dimensions is not understood")
    step, spread = pair(strides), pair(dilations)
    window = tuple((side - 1) * apart + 1 for side, apart in zip(weight.shape[2:], spread, strict=True))
    x = padded(x, pads(pad_type, pad, (x.shape[2], x.shape[3]), (window[0], window[1]), step))
    parts, count = int(groups), weight.shape[0] // int(groups)
    if weight.shape[1] == count == 1 and parts > 1:
        out = _depthwise(x, weight, step, spread)
    elif parts == 1:
        out = _dense(x, weight, step, spread, each)
    else:
        slices = zip(np.split(x, parts, 1), np.split(weight, parts), strict=True)
        out = np.concatenate([_dense(some, own, step, spread, each) for some, own in slices], 1)
    if bias is not None:
        out += bias[:, None, None]
    return out


def _dense(x: Array, weight: Array, step: tuple[int, int], spread: tuple[int, int], each: Each) -> Array:
    filters = weight.reshape(len(weight), -1)
    if weight.shape[2:] == (1, 1):
        x = x[:, :, :: step[0], :: step[1]]
        flat = x.reshape(*x.shape[:2], -1)
        made: Array = np.matmul(filters, flat).reshape(len(x), len(weight), *x.shape[2:])
        return made
    windows = _windows(x, weight.shape[2:], step, spread)
    batch, _, _, _, rows, columns = windows.shape
    out = np.empty((batch, len(weight), rows, columns), np.result_type(x, weight))
    portion = max(COLUMNS // (filters.shape[1] * columns), 1)

    def fill(place: tuple[int, int]) -> None:
        number, first = place
        block = windows[number, :, :, :, first : first + portion]
        made = filters @ block.reshape(filters.shape[1], -1)  # the reshape copies: these are the columns
        out[number, :, first : first + portion] = made.reshape(len(weight), -1, columns)

    each(fill, product(range(batch), range(0, rows, portion)))
    return out


def _depthwise(x: Array, weight: Array, step: tuple[int, int], spread: tuple[int, int]) -> Array:
    windows = _windows(x, weight.shape[2:], step, spread)
    out = np.zeros((*windows.shape[:2], *windows.shape[4:]), x.dtype)
    for row, column in product(*map(range, weight.shape[2:])):
        out += windows[:, :, row, column] * weight[:, 0, row, column, None, None]
    return out


def _windows(x: Array, sides: tuple[int, ...], step: tuple[int, int], spread: tuple[int, int]) -> Array:
    """(B, C, h, w, H', W'): a view."""
    reach = tuple((side - 1) * apart + 1 for side, apart in zip(sides, spread, strict=True))
    seen: Array = sliding_window_view(x, reach, (2, 3))  # type: ignore[call-overload]  # several axes are allowed
    seen = seen[:, :, :: step[0], :: step[1], :: spread[0], :: spread[1]]
    return seen.transpose(0, 1, 4, 5, 2, 3)


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    dilations: Array | None = None,
    groups: Array | int = 1,
    output_shape: Array | None = None,
) -> Array:
    """(B, C, H, W) and weights (C, O, h, w) → (B, O, H', W'): each number is spread over a window."""
    (down, across), (batch, _, rows, columns) = pair(strides), x.shape
    if int(groups) != 1 or pair(dilations) != (1, 1) or pad_type not in ("valid", "custom"):
        raise ValueError("conv_transpose in groups, dilated, or padded to the same size is not understood")
    (top, bottom), (left, right) = pads(pad_type, pad, (rows, columns), (1, 1), (1, 1))
    tall, wide = weight.shape[2:]
    height, width = (rows - 1) * down + tall, (columns - 1) * across + wide
    if output_shape is not None:
        height, width = int(output_shape[-2]) + top + bottom, int(output_shape[-1]) + left + right
    out = np.zeros((batch, weight.shape[1], height, width), np.result_type(x, weight))
    flat = x.reshape(batch, x.shape[1], -1)
    for row, column in product(range(tall), range(wide)):
        spread = np.matmul(weight[:, :, row, column].T, flat).reshape(batch, -1, rows, columns)
        out[:, :, row : row + rows * down : down, column : column + columns * across : across] += spread
    if bias is not None:
        out += bias[:, None, None]
    return out[:, :, top : height - bottom, left : width - right]


def max_pool(
    x: Array,
    kernel_sizes: Array,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    ceil_mode: Array | bool = False,
) -> Array:
    """The largest number of each window; what is added around is smaller than any."""
    out = None
    for _, view in _taps(x, kernel_sizes, strides, pad_type, pad, ceil_mode, -np.inf):
        out = view.copy() if out is None else np.maximum(out, view, out=out)
    assert out is not None
    return out


def avg_pool(
    x: Array,
    kernel_sizes: Array,
    strides: Array | None = None,
    pad_type: str = "valid",
    pad: Array | None = None,
    exclude_padding_from_average: Array | bool = False,
    ceil_mode: Array | bool = False,
) -> Array:
    """The mean of each window."""
    if bool(exclude_padding_from_average):
        raise ValueError("avg_pool that leaves the padding out is not understood")
    views = [view for _, view in _taps(x, kernel_sizes, strides, pad_type, pad, ceil_mode, 0)]
    return np.asarray(sum(views[1:], views[0]) / np.float32(len(views)))


def _taps(
    x: Array,
    kernel_sizes: Array,
    strides: Array | None,
    pad_type: str,
    pad: Array | None,
    ceil_mode: Array | bool,
    value: float,
) -> Iterator[tuple[tuple[int, int], Array]]:
    """For each place of a window, (B, C, H', W') of what all windows have there: views."""
    if bool(ceil_mode):
        raise ValueError("pooling with ceil_mode is not understood")
    window, (down, across) = pair(kernel_sizes), pair(strides)
    x = padded(x, pads(pad_type, pad, (x.shape[2], x.shape[3]), window, (down, across)), value)
    rows, columns = ((side - reach) for side, reach in zip(x.shape[2:], window, strict=True))
    for row, column in product(*map(range, window)):
        yield (row, column), x[:, :, row : row + rows + 1 : down, column : column + columns + 1 : across]


def upsample_nearest_neighbor(
    x: Array, scale_factor_height: Array | float = 1.0, scale_factor_width: Array | float = 1.0
) -> Array:
    """Larger by a factor for each side; a number is that of the nearest place above and to the left."""
    for axis, factor in ((2, float(np.ravel(scale_factor_height)[0])), (3, float(np.ravel(scale_factor_width)[0]))):
        places = np.floor(np.arange(int(x.shape[axis] * factor)) / factor).astype(np.int64)
        x = np.take(x, places, axis)
    return x
