"""Masks of all objects of a picture as low-resolution logits, made in one go, and which of them show at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Letterbox, Size
from segkit.core.inference._instances import Crop, Logits
from segkit.core.inference._resample import Frame, Window, network_frame, picture_frame
from segkit.core.inference.decode import Detections

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

CLEARLY = 1e-3
"""A logit above this is positive however its interpolation was rounded."""


MANY = 32
"""Objects from which on it pays to copy the prototypes into the order in which they are read."""


@dataclass(frozen=True, eq=False)
class LowMasks:
    """N masks of a picture. Pairs hold the network's convention first, the native one second.

    Attributes:
        flat: (S,) the samples of all objects, one after the other, row by row.
        samples: N views (h, w) of it.
        starts: (N,) where the samples of each begin.
        regions: (N, 4) top, left, bottom, right of the samples of each in the prototypes.
        frames: what the samples are brought to.
        windows: (N, 4) the pixels of each in these.
    """

    flat: Floats
    samples: list[Floats]
    starts: Integers
    regions: Integers
    frames: tuple[Frame, Frame]
    windows: tuple[Integers, Integers]

    @classmethod
    def of(
        cls, prototypes: Floats, detections: Detections, letterbox: Letterbox, native: bool
    ) -> tuple[LowMasks, Integers]:
        """Masks of the detections whose box holds a pixel, and (N,) which these are; see `InstanceMasks`."""
        low: Size = (prototypes.shape[1], prototypes.shape[2])
        frames = (network_frame(low, letterbox.target), picture_frame(low, letterbox))
        windows = (frames[0].windows(detections.xyxy), frames[1].windows(letterbox.to_source(detections.xyxy)))
        inside = np.flatnonzero((windows[native][:, 2:] > windows[native][:, :2]).all(axis=1))
        windows = (windows[0][inside], windows[1][inside])
        regions = _union(*(frame.reach(window) for frame, window in zip(frames, windows, strict=True)))
        parts = _products(prototypes, detections.coefficients[inside], regions)
        return cls(*parts, regions, frames, windows), inside

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.samples)

    def instance(self, index: int) -> Logits:
        """One mask for itself: it does not hold those of the whole picture."""
        corners = self._corners[0][index], self._corners[1][index]
        return Logits(self.samples[index].copy(), self._origins[index], self.frames, corners)

    def crop(self, index: int, native: bool) -> Crop:
        """As `Logits.crop`."""
        window = self._corners[native][index]
        return self.frames[native].positive(self.samples[index], self._origins[index], window), window.top, window.left

    def showing(self, native: bool) -> Integers:
        """Which have a pixel that is on.

        Nearly always the pixel next to the highest sample settles it. Interpolation never exceeds the samples, and what
        is no number is no mask.
        """
        if not len(self):
            return np.zeros(0, np.int64)
        peak = self.starts + np.array([part.argmax() for part in self.samples], np.int64)  # NaN, if there is any
        highest, lowest = self.flat[peak], np.minimum.reduceat(self.flat, self.starts)
        usable = (highest > 0) & (highest < np.inf) & (lowest > -np.inf)
        shows = usable & (self._near(peak, native) > CLEARLY)
        for index in np.flatnonzero(usable & ~shows).tolist():
            shows[index] = self.crop(index, native)[0].any()
        return np.flatnonzero(shows)

    @cached_property
    def _origins(self) -> list[tuple[int, int]]:
        """Row and column of the first sample of each in the prototypes."""
        return [(top, left) for top, left, _, _ in self.regions.tolist()]

    @cached_property
    def _corners(self) -> tuple[list[Window], list[Window]]:
        network, native = ([Window(*window) for window in windows.tolist()] for windows in self.windows)
        return network, native

    def _near(self, place: Integers, native: bool) -> Floats:
        """(N,) the up-sampled value of the pixel next to one sample of each, which stands at `place` of all samples."""
        top, left, bottom, right = self.regions.T
        first_row, first_column, last_row, last_column = self.windows[native].T
        frame, width = self.frames[native], right - left
        y, x = np.divmod(place - self.starts, width)
        rows, down = frame.y.taps(np.clip(frame.y.near[top + y], first_row, last_row - 1))
        columns, across = frame.x.taps(np.clip(frame.x.near[left + x], first_column, last_column - 1))
        rows = np.clip(rows - top, 0, bottom - top - 1)
        columns = np.clip(columns - left, 0, width - 1)
        values = self.flat[self.starts + rows[:, None] * width + columns]
        with np.errstate(over="ignore", invalid="ignore"):
            found: Floats = (values * down[:, None] * across).sum(axis=(0, 1))
        return found


def _products(prototypes: Floats, coefficients: Floats, regions: Integers) -> tuple[Floats, list[Floats], Integers]:
    """Coefficients (N, nm) times prototypes (nm, h, w) inside regions (N, 4): all samples, views of each, starts."""
    heights, widths = regions[:, 2] - regions[:, 0], regions[:, 3] - regions[:, 1]
    ends = np.cumsum(heights * widths)
    starts: Integers = ends - heights * widths
    flat = np.empty(ends[-1] if len(ends) else 0, np.float32)
    samples = []
    rows = prototypes.transpose(1, 0, 2)  # one small product a row: no BLAS threads to wake
    if len(regions) >= MANY:
        rows = np.ascontiguousarray(rows)
    bounds = zip(coefficients, regions.tolist(), starts.tolist(), ends.tolist(), strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        for vector, (top, left, bottom, right), start, end in bounds:
            part = flat[start:end].reshape(bottom - top, right - left)
            samples.append(np.matmul(vector, rows[top:bottom, :, left:right], out=part))
    return flat, samples, starts


def _union(one: Integers, other: Integers) -> Integers:
    """(N, 4) the smallest windows that hold both."""
    return np.concatenate([np.minimum(one[:, :2], other[:, :2]), np.maximum(one[:, 2:], other[:, 2:])], axis=1)
