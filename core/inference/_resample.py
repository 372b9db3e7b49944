"""Bilinear up-sampling of windows that keeps the phase of the whole frame.

Along one axis, up-sampling is a linear map from the low-resolution samples to the pixels, so a window of the frame
needs only a block of that map's matrix. Both conventions of masks, the two-step one included, are such a map; nothing
else differs. Pixel centres lie at halves, and samples beyond the border repeat the border. Positions are computed in
float32, as the implementations that this must agree with do, so that pixels on the very edge fall on the same side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Letterbox, Size

TILE = 96
"""Pixels along an axis that are up-sampled at a time."""

PRODUCT = 230_000
"""Most multiplications in one product: what comes out stays in the cache until it is thresholded, and a BLAS wakes no
threads for so little, which costs far more than it gives while a runtime's threads hold the cores."""


class Window(NamedTuple):
    """A rectangle of whole pixels; row `bottom` and column `right` are not part of it."""

    top: int
    left: int
    bottom: int
    right: int


class Block(NamedTuple):
    """Some pixels of a window, the samples that they read (counted from the first that is held), and their weights."""

    pixels: slice
    samples: slice
    weights: NDArray[np.float32]


class Axis:
    """The map from `inputs` samples to `outputs` pixels along one axis.

    With `factor` the samples are first up-sampled by that whole number, `before` and `after` of the result are cut
    away, and the rest is brought to `outputs`.
    """

    def __init__(self, inputs: int, outputs: int, *, factor: int = 1, before: int = 0, after: int = 0) -> None:
        """Compute positions; the matrix itself is made when needed."""
        self.inputs, self.outputs = inputs, outputs
        self.zoom, self.shift = _whole(inputs, outputs, factor, before, after)
        """pixels a sample where that is a whole number, otherwise 0; and how many are cut away before the first"""
        self._fine = _taps(inputs, inputs * factor).cut(before, inputs * factor - after)
        self._final = _taps(len(self._fine.low), outputs)
        self.first = self._fine.low[self._final.low]
        """(outputs,) the first sample that each pixel reads; never descends."""
        self.last = self._fine.high[self._final.high]
        """(outputs,) the last one."""

    @cached_property
    def near(self) -> NDArray[np.int64]:
        """(inputs,) a pixel that lies close to each sample; for samples that no pixel reads, one close to the next."""
        return np.minimum(np.searchsorted(self.first, np.arange(self.inputs)), self.outputs - 1)

    @property
    def weights(self) -> NDArray[np.float32]:
        """(outputs, inputs): two or three weights a row, zeros elsewhere."""
        return _matrix(self)

    def taps(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(3, N) samples that some pixels (N,) read, and their weights; those of weight 0 may be any sample."""
        samples = self.first[pixels] + np.arange(3)[:, None]
        unread = samples > self.last[pixels]
        samples[unread] = 0
        weights = self.weights[pixels, samples]
        weights[unread] = 0
        return samples, weights

    def blocks(self, start: int, stop: int, origin: int, size: int) -> Iterator[Block]:
        """The pixels from `start` to `stop`, `size` at a time, without the zeros of the matrix."""
        for first in range(start, stop, size):
            last = min(first + size, stop)
            low, high = int(self.first[first]), int(self.last[last - 1]) + 1
            weights = self.weights[first:last, low:high]
            yield Block(slice(first - start, last - start), slice(low - origin, high - origin), weights)

    def part(self, start: int, stop: int, origin: int) -> tuple[slice, int]:
        """With a `zoom`: the samples to magnify for some pixels, counted from the first that is held, and where in what
        comes out these pixels begin.
        """
        low, high = int(self.first[start]), int(self.last[stop - 1]) + 1
        return slice(low - origin, high - origin), start + self.shift - low * self.zoom

    def _dense(self) -> NDArray[np.float32]:
        matrix = np.zeros((self.outputs, self.inputs), np.float32)
        rows = np.arange(self.outputs)
        for fine, share in ((self._final.low, 1 - self._final.weight), (self._final.high, self._final.weight)):
            matrix[rows, self._fine.low[fine]] += share * (1 - self._fine.weight[fine])
            matrix[rows, self._fine.high[fine]] += share * self._fine.weight[fine]
        return matrix


@lru_cache(maxsize=8)
def _matrix(axis: Axis) -> NDArray[np.float32]:
    return axis._dense()  # kept here, a few at a time, and not in the axis: results live long and matrices are large


@dataclass(frozen=True)
class Frame:
    """A whole picture to up-sample to, of which windows are made on demand."""

    y: Axis
    x: Axis

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.y.outputs, self.x.outputs

    def windows(self, xyxy: NDArray[np.float32]) -> NDArray[np.int64]:
        """(N, 4) windows of the pixels whose index is ≥ x1, y1 and < x2, y2 of the boxes (N, 4); may be empty."""
        height, width = self.size
        edges = np.clip(np.ceil(xyxy[:, [1, 0, 3, 2]]), 0, [height, width, height, width]).astype(np.int64)
        edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2])
        return edges

    def reach(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N, 4) windows of the low-resolution samples that the pixels of `windows` (N, 4) read."""
        top, left, bottom, right = windows.T
        height, width = self.size
        edges = [
            self.y.first[np.minimum(top, height - 1)],
            self.x.first[np.minimum(left, width - 1)],
            self.y.last[np.maximum(bottom, 1) - 1] + 1,
            self.x.last[np.maximum(right, 1) - 1] + 1,
        ]
        return np.stack(edges, axis=1)

    def positive(self, samples: NDArray[np.float32], origin: tuple[int, int], window: Window) -> NDArray[np.bool_]:
        """(h, w): where the up-sampled values in `window` are above zero.

        Args:
            samples: low-resolution values that cover the reach of `window`.
            origin: row and column of `samples[0, 0]` in the whole low-resolution map.
            window: the pixels wanted.
        """
        height, width = window.bottom - window.top, window.right - window.left
        if not height * width:
            return np.zeros((height, width), np.bool_)
        if self.y.zoom and self.x.zoom:
            rows, top = self.y.part(window.top, window.bottom, origin[0])
            columns, left = self.x.part(window.left, window.right, origin[1])
            part = samples[rows, columns]
            size = (part.shape[1] * self.x.zoom, part.shape[0] * self.y.zoom)
            values = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
            found: NDArray[np.bool_] = values[top : top + height, left : left + width] > 0
            return found
        out = np.empty((height, width), np.bool_)
        across = np.empty((len(samples), width), np.float32)
        for columns, used, weights in self.x.blocks(window.left, window.right, origin[1], TILE):
            np.matmul(samples[:, used], weights.T, out=across[:, columns])
        # Fewer rows at a time read fewer samples each, so that there is less to multiply by the zeros between bands.
        for rows, used, weights in self.y.blocks(
            window.top, window.bottom, origin[0], TILE if width <= TILE else TILE // 2
        ):
            step = max(PRODUCT // weights.size, 1)
            for left in range(0, width, step):
                columns = slice(left, left + step)
                np.greater(weights @ across[used, columns], 0, out=out[rows, columns])
        return out


@lru_cache(maxsize=8)
def network_frame(low: Size, target: Size) -> Frame:
    """From prototypes of size `low` to the network's input, border included."""
    return Frame(Axis(low[0], target[0]), Axis(low[1], target[1]))


@lru_cache(maxsize=8)
def picture_frame(low: Size, box: Letterbox) -> Frame:
    """From prototypes of size `low` to the native picture.

    The border is cut away at low resolution where it covers whole samples there; otherwise the samples are first
    up-sampled by the smallest factor with which it does: 2 or 4 for prototypes at a quarter of the input.
    """
    if box.target[0] % low[0] or box.target[1] % low[1]:
        raise ValueError(f"prototypes of {low} do not divide an input of {box.target}")
    down, across = box.target[0] // low[0], box.target[1] // low[1]
    borders = ((box.top, down), (box.bottom, down), (box.left, across), (box.right, across))
    factor = math.lcm(*(ratio // math.gcd(pad, ratio) for pad, ratio in borders))
    top, bottom, left, right = (pad * factor // ratio for pad, ratio in borders)
    y = Axis(low[0], box.source[0], factor=factor, before=top, after=bottom)
    x = Axis(low[1], box.source[1], factor=factor, before=left, after=right)
    return Frame(y, x)


def _whole(inputs: int, outputs: int, factor: int, before: int, after: int) -> tuple[int, int]:
    """`Axis.zoom` and `Axis.shift`."""
    if factor == 1:  # what is cut away are whole samples, which are then not read
        zoom, rest = divmod(outputs, inputs - before - after)
        return (0, 0) if rest else (zoom, before * zoom)
    if outputs == inputs * factor - before - after:
        return factor, before
    return 0, 0


class _Taps(NamedTuple):
    """For each output: the sample before it, the one after it, and the weight of the latter."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: NDArray[np.float32]

    def cut(self, start: int, stop: int) -> _Taps:
        """Those of some outputs."""
        return _Taps(self.low[start:stop], self.high[start:stop], self.weight[start:stop])


def _taps(inputs: int, outputs: int) -> _Taps:
    scale, half = np.float32(inputs) / np.float32(outputs), np.float32(0.5)
    position = np.maximum(scale * (np.arange(outputs, dtype=np.float32) + half) - half, np.float32(0))
    low = np.minimum(position.astype(np.int64), inputs - 1)
    weight = np.minimum(position - low.astype(np.float32), np.float32(1))
    high = np.minimum(low + (weight > 0), inputs - 1)  # what has no weight is not read: it may lie in a border
    return _Taps(low, high, weight)
