"""Differences of raw outputs as numbers that a reader can judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.conformance.tolerance import BULK, Tolerance
from segkit.core.backend import Anchors

OUTPUTS = ("boxes", "scores", "coefficients", "prototypes")


@dataclass(frozen=True)
class Deviation:
    """How one output differs from the reference: largest and mean absolute error, signal to noise in decibels, the
    error of all values but one in a thousand, and how many are NaN.
    """

    output: str
    maximum: float
    mean: float
    snr: float
    bulk: float
    nan: int = 0

    def __str__(self) -> str:
        """One line of a report."""
        text = f"{self.output}: max {self.maximum:.3g}, mean {self.mean:.3g}, SNR {self.snr:.1f} dB"
        return f"{text}, {self.nan} values are NaN" if self.nan else text

    def within(self, tolerance: Tolerance) -> bool:
        """Whether it is small enough; never so for an output with NaN in it."""
        return self.judged(tolerance) <= float(getattr(tolerance, self.output)) and self.snr >= tolerance.snr

    def against(self, tolerance: Tolerance) -> str:
        """What is held against the limit, and the limit: "limit 4", or "99.9% within 1.2, limit 4"."""
        limit = f"limit {getattr(tolerance, self.output):g}"
        return limit if self.every(tolerance) else f"{BULK:.1%} within {self.bulk:.3g}, {limit}"

    def judged(self, tolerance: Tolerance) -> float:
        """The error that is held against the limit: the largest, or that of all but one value in a thousand."""
        return self.maximum if self.every(tolerance) else self.bulk

    def every(self, tolerance: Tolerance) -> bool:
        """Whether every value counts."""
        return tolerance.every_box or self.output != "boxes"


def compare(got: Anchors, wanted: Anchors) -> list[Deviation]:
    """The deviation of every output.

    Raises:
        AssertionError: a shape or a dtype is not what the contract says.
    """
    found = []
    for output in OUTPUTS:
        given, reference = getattr(got, output), getattr(wanted, output)
        assert isinstance(given, np.ndarray), f"{output} is {type(given).__name__}, not a numpy array"
        assert given.shape == reference.shape, f"{output}: shape {given.shape}, should be {reference.shape}"
        assert given.dtype == np.float32, f"{output}: dtype {given.dtype}, should be float32"
        error = np.abs(given.astype(np.float64) - reference)
        nan = int(np.isnan(given).sum())
        bulk = float(np.quantile(error, BULK))
        found.append(Deviation(output, float(error.max()), float(error.mean()), _snr(reference, error), bulk, nan))
    return found


def unequal(one: Anchors, other: Anchors) -> list[str]:
    """Names of the outputs that are not the same bit by bit."""
    return [name for name in OUTPUTS if not np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)]


def check(got: Anchors, wanted: Anchors, tolerance: Tolerance, what: str) -> list[Deviation]:
    """As `compare`, but the deviations must be within the tolerance.

    Raises:
        AssertionError: they are not; the message has every figure and its limit.
    """
    __tracebackhide__ = True
    found = compare(got, wanted)
    lines = [f"{what} is too far from PyTorch (limit {tolerance.snr:g} dB):"]
    for item in found:
        mark = "  " if item.within(tolerance) else "! "
        lines.append(f"{mark}{item} ({item.against(tolerance)})")
    if not all(item.within(tolerance) for item in found):
        raise AssertionError("\n".join(lines))  # pytest would indent the lines of an assert's message
    return found


def _snr(reference: NDArray[np.floating[Any]], error: NDArray[np.floating[Any]]) -> float:
    signal, noise = float(np.square(reference, dtype=np.float64).mean()), float(np.square(error).mean())
    return float("inf") if noise == 0 else 10 * float(np.log10(signal / noise)) if signal else float("-inf")
