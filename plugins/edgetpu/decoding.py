"""From the whole numbers of a network's last layers to boxes and scores: 256 values each, looked up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Size

SIDES = 4


class Scale(NamedTuple):
    """How whole numbers stand for others: (number - zero) · step; a step of 0: they do not."""

    step: float
    zero: int

    def real(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """What numbers of the file stand for."""
        if not self.step:
            return array.astype(np.float32, copy=False)
        return (array.astype(np.float32) - np.float32(self.zero)) * np.float32(self.step)

    def rounded(self, array: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
        """The nearest numbers of the file."""
        limits = np.iinfo(dtype)
        whole: NDArray[Any] = np.rint(array / np.float32(self.step)) + self.zero
        return whole.clip(limits.min, limits.max).astype(dtype)


def scores(logits: NDArray[np.int8], scale: Scale) -> NDArray[np.float32]:
    """(B, A, classes) → the same, 0..1."""
    return _of_bytes(logits, 1 / (1 + np.exp(-_values(scale))))


def boxes(distances: NDArray[np.int8], scale: Scale, size: Size, strides: Sequence[int]) -> NDArray[np.float32]:
    """(B, A, 4 · bins) → (B, 4, A) cx, cy, w, h in pixels: of each side the mean distance from its anchor, in cells."""
    values = _values(scale)
    # Only their ratios count: as far from what float32 cannot hold as they can be, on both sides.
    likely = _of_bytes(distances, np.exp(values - (values.min() + values.max()) / 2))
    likely = likely.reshape(*likely.shape[:2], SIDES, -1)
    weights = np.stack([np.arange(likely.shape[-1], dtype=np.float32), np.ones(likely.shape[-1], np.float32)], 1)
    sums = likely @ weights
    left_top, right_bottom = np.split(sums[..., 0] / sums[..., 1], 2, axis=-1)
    anchors, cells = _anchors(size, tuple(strides))
    centres, sides = anchors + (right_bottom - left_top) / 2, right_bottom + left_top
    return np.moveaxis(np.concatenate([centres, sides], -1) * cells, -1, 1)


def _values(scale: Scale) -> NDArray[np.float32]:
    """What each byte stands for, in the order of bytes without a sign."""
    return scale.real(np.arange(256, dtype=np.uint8).view(np.int8))


def _of_bytes(array: NDArray[np.int8], table: NDArray[Any]) -> NDArray[np.float32]:
    return table.astype(np.float32)[np.ascontiguousarray(array).view(np.uint8)]


@lru_cache(maxsize=8)
def _anchors(size: Size, strides: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(A, 2) x, y of anchors in cells of their level, and (A, 1) pixels of such a cell."""
    points, cells = [], []
    for stride in strides:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        points.append(np.stack([columns.ravel(), rows.ravel()], 1) + 0.5)
        cells.append(np.full((len(points[-1]), 1), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(cells).astype(np.float32)
