"""Which numbers a value takes, seen on pictures, and the 8-bit range that serves it best.

The whole range that was seen wastes most of the 256 steps on a few extremes; cutting it costs exactly those. The range
chosen makes the sum of both errors least, rounding inside and clipping outside, in a norm between the mean square and
the maximum: objects are rarer than background and have the higher values. Where SiLU follows, errors count as they
come out of it: most of a layer's negative half may then be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 255
_HALF = 4096
"""Bins of a histogram on either side of zero."""
NORM = 2.5
"""Between 2 and 4 makes little difference; at 2 high scores suffer, at 6 the small differences of background do."""
_CANDIDATES = np.linspace(1 / 64, 1, 64)
_TINY = float(np.finfo(np.float32).tiny)


class Histogram:
    """Counts of a value's numbers in equal bins around zero. The reach doubles when a larger number comes."""

    def __init__(self) -> None:
        """Empty."""
        self.reach = 2.0**-16
        self.counts = np.zeros(2 * _HALF, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array of any shape.

        Raises:
            ValueError: there is a NaN or an infinity in it.
        """
        peak = max(float(values.max()), -float(values.min()))
        if not np.isfinite(peak):
            raise ValueError("a number that is not finite")
        while peak > self.reach:
            self.reach *= 2
            middle = self.counts.reshape(_HALF, 2).sum(1)
            self.counts = np.zeros_like(self.counts)
            self.counts[_HALF // 2 : _HALF // 2 + _HALF] = middle
        bins = ((values.ravel() + np.float32(self.reach)) * np.float32(_HALF / self.reach)).astype(np.int64)
        self.counts += np.bincount(np.minimum(bins, 2 * _HALF - 1, out=bins), minlength=2 * _HALF)

    def points(self) -> tuple[Array, Array]:
        """The middles of the bins that hold something, ascending, and their share of all that was counted."""
        held = np.flatnonzero(self.counts)
        counts = self.counts[held].astype(np.float64)
        return (held.astype(np.float64) + 0.5) * (2 * self.reach / len(self.counts)) - self.reach, counts / counts.sum()

    def coarser(self, times: int) -> Histogram:
        """The same with bins that many times as wide (a power of two): quicker to choose a range from."""
        made = Histogram()
        made.reach, made.counts = self.reach, self.counts.reshape(-1, times).sum(1)
        return made


@dataclass(frozen=True)
class Seen:
    """Numbers that a value takes, and what becomes of them.

    Attributes:
        points: (n,) ascending.
        share: (n,) how often each occurs; sums to 1.
        effect: what follows the value: errors are measured behind it.
        slope: (n,) of `effect` at the points.
    """

    points: Array
    share: Array
    effect: Callable[[Array], Array]
    slope: Array

    @classmethod
    def plain(cls, histogram: Histogram) -> Seen:
        """A value whose errors count as they are."""
        points, share = histogram.points()
        return cls(points, share, lambda x: x, np.ones_like(points))

    @classmethod
    def before_silu(cls, histogram: Histogram) -> Seen:
        """A value that goes through SiLU."""
        points, share = histogram.points()
        gate = _sigmoid(points)
        return cls(points, share, silu, gate * (1 + points * (1 - gate)))

    @classmethod
    def behind_silu(cls, histogram: Histogram) -> Seen:
        """What SiLU makes of the value that was counted."""
        points, share = histogram.points()
        order = np.argsort(made := silu(points), kind="stable")
        return cls(made[order], share[order], lambda x: x, np.ones_like(points))

    def error(self, low: float, high: float, norm: float = NORM) -> float:
        """The error that a range leaves: rounding is uniform over a step, so its norm is that of a uniform number."""
        inside = (self.points >= low) & (self.points <= high)
        half_step = (high - low) / STEPS / 2
        rounding = (half_step * np.abs(self.slope[inside])) ** norm / (norm + 1)
        outside = self.points[~inside]
        clipping = np.abs(self.effect(outside) - self.effect(np.clip(outside, low, high))) ** norm
        return float(self.share[inside] @ rounding + self.share[~inside] @ clipping)


def best_range(seen: Sequence[Seen], norm: float = NORM) -> tuple[float, float]:
    """The (low, high) around zero that leaves values which share it the least error together."""
    lowest = min(0.0, *(float(item.points.min(initial=0)) for item in seen))
    highest = max(0.0, *(float(item.points.max(initial=0)) for item in seen))
    low, high = lowest, highest
    for _ in range(2):  # one side after the other: they hardly depend on each other
        high = min(_CANDIDATES * highest, key=lambda bound: sum(item.error(low, bound, norm) for item in seen))
        low = min(_CANDIDATES * lowest, key=lambda bound: sum(item.error(bound, high, norm) for item in seen))
    return float(low), float(high)


def best_reach(seen: Sequence[Seen]) -> float:
    """The same for a range from -reach to reach, as symmetric numbers have it."""
    farthest = max(0.0, *(float(np.abs(item.points).max(initial=0)) for item in seen))
    return float(min(_CANDIDATES * farthest, key=lambda bound: sum(item.error(-bound, bound) for item in seen)))


def scale_and_zero(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """The step of a range, and the whole number that stands for 0."""
    scale = max((high - low) / STEPS, _TINY)
    return np.float32(scale), np.uint8(round(-low / scale))


def symmetric_scale(reach: float) -> tuple[np.float32, np.int8]:
    """The step of a range from -reach to reach, and 0, which stands for itself."""
    return np.float32(max(reach / 127, _TINY)), np.int8(0)


def silu(x: Array) -> Array:
    """SiLU: x · sigmoid(x)."""
    return x * _sigmoid(x)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))  # no overflow at any x
