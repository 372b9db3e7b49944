"""A value of TensorFlow's graph, and how its axes lie.

A network of torch is NCHW, TensorFlow computes in NHWC. Transposing around every layer is what converters are known
for; here a value only remembers which of its axes is which of torch's dimensions, and is transposed where an operator
cannot do with what there is. In a whole YOLOv8-seg that is once, before the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segkit.plugins.shared.tensorflow import tf

Order = tuple[int, ...]
"""For each of torch's dimensions the axis that it is."""

Array = NDArray[Any]

NHWC: Order = (0, 3, 1, 2)
"""Of a map (B, C, H, W)."""

NWC: Order = (0, 2, 1)
"""Of anchors (B, C, A)."""


T = TypeVar("T", bound="Tensor")


@dataclass(frozen=True)
class Tensor:
    """A tensor of TensorFlow.

    Attributes:
        data: the tensor.
        order: for each of torch's dimensions the axis of `data` that it is.
    """

    data: Any
    order: Order

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.order)

    def axis(self, dim: int) -> int:
        """The axis that a dimension of torch's is; negative ones count from the end."""
        return self.order[dim]

    def to(self: T, order: Sequence[int]) -> T:
        """The same with its axes in another order: a transpose, unless it has it already."""
        if tuple(order) == self.order:
            return self
        dims = sorted(range(self.rank), key=lambda dim: order[dim])  # the dimension that each new axis is
        return replace(self, data=self.transposed([self.order[dim] for dim in dims]), order=tuple(order))

    def transposed(self, axes: list[int]) -> Any:
        """The data with its axes in this order."""
        return tf.transpose(self.data, axes)

    def natural(self: T) -> T:
        """The same with torch's own order."""
        return self.to(range(self.rank))

    def like(self: T, data: Any) -> T:
        """What an operator made of it that leaves the axes as they are."""
        return replace(self, data=data)

    def raised(self, rank: int) -> Tensor:
        """The same with dimensions of one in front, as in arithmetic of values of different ranks."""
        more = rank - self.rank
        if not more:
            return self
        data = self.data
        for _ in range(more):
            data = tf.expand_dims(data, 0)
        return Tensor(data, (*range(more), *(axis + more for axis in self.order)))


Value = Tensor | Array
"""A tensor, or numbers that are known while the graph is built; those are in torch's order."""


def constant(array: Array) -> Any:
    """Numbers in the graph. Those in float16 take half the room, and are made float32 where they are used, once, when
    the file is loaded.
    """
    made = tf.constant(np.ascontiguousarray(array))
    return tf.cast(made, tf.float32) if array.dtype == np.float16 else made


def arranged(array: Array, order: Order) -> Array:
    """Numbers of at most as many dimensions, with the axes of a tensor of this order."""
    array = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    dims = sorted(range(len(order)), key=lambda dim: order[dim])
    return array.transpose(dims)


def tensor(value: Value) -> Tensor:
    """A value in the graph."""
    return value if isinstance(value, Tensor) else Tensor(constant(value), tuple(range(value.ndim)))


def regrouped(x: T, before: Sequence[int | str], after: Sequence[int | str]) -> tuple[T, list[int]]:
    """For merging and dividing neighbouring dimensions: the value, transposed if it must be, and the dimensions of the
    result in the order of the axes that they are to be. The other dimensions stay where they are.

    Args:
        x: the value.
        before: its sides, in torch's order; those that are equal in every run are equal.
        after: the sides of the result.
    """
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    merged, divided = range(first, len(before) - last), range(first, len(after) - last)
    axes = [x.axis(dim) for dim in merged]
    if axes != list(range(axes[0], axes[0] + len(axes)) if axes else []):
        x = x.natural()
    place = min((x.axis(dim) for dim in merged), default=x.rank)
    kept = {dim: dim if dim < first else dim + len(after) - len(before) for dim in range(x.rank) if dim not in merged}
    laid = sorted(kept, key=x.axis)
    dims = [kept[dim] for dim in laid if x.axis(dim) < place] + list(divided)
    return x, dims + [kept[dim] for dim in laid if x.axis(dim) > place]


def padding_of(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> str | list[list[int]]:
    """The padding of a layer: by its name where one means the same as torch's numbers, which every runtime knows."""
    if not any(padding):
        return "VALID"
    whole = all(step == 1 for step in stride)
    around = all((side - 1) * reach == 2 * pad for side, reach, pad in zip(kernel, dilation, padding, strict=True))
    if whole and around:
        return "SAME"
    return [[0, 0], *([pad, pad] for pad in padding), [0, 0]]
