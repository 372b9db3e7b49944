"""Differences of raw outputs as numbers that a reader can judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.conformance.tolerance import Tolerance
from segkit.core.backend import Anchors

OUTPUTS = ("boxes", "scores", "coefficients", "prototypes")


@dataclass(frozen=True)
class Deviation:
    """How one output differs from the reference: largest and mean absolute error, signal to noise in decibels, and how
    many of its values are NaN.
    """

    output: str
    maximum: float
    mean: float
    snr: float
    nan: int = 0

    def __str__(self) -> str:
        """One line of a report."""
        text = f"{self.output}: max {self.maximum:.3g}, mean {self.mean:.3g}, SNR {self.snr:.1f} dB"
        return f"{text}, {self.nan} values are NaN" if self.nan else text

    def within(self, tolerance: Tolerance) -> bool:
        """Whether it is small enough; never so for an output with NaN in it."""
        return self.maximum <= float(getattr(tolerance, self.output)) and self.snr >= tolerance.snr


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
        found.append(Deviation(output, float(error.max()), float(error.mean()), _snr(reference, error), nan))
    return found


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
        lines.append(f"{mark}{item} (limit {getattr(tolerance, item.output):g})")
    if not all(item.within(tolerance) for item in found):
        raise AssertionError("\n".join(lines))  # pytest would indent the lines of an assert's message
    return found


def _snr(reference: NDArray[np.floating[Any]], error: NDArray[np.floating[Any]]) -> float:
    signal, noise = float(np.square(reference, dtype=np.float64).mean()), float(np.square(error).mean())
    return float("inf") if noise == 0 else 10 * float(np.log10(signal / noise)) if signal else float("-inf")
