"""How far a backend may be from PyTorch in float32: one table for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from segkit.core.backend import Precision


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted error of each output, and the least ratio of signal to noise.

    Attributes:
        boxes: in input pixels.
        scores: in 0..1.
        coefficients: absolute.
        prototypes: absolute.
        snr: decibels, for every output.
    """

    boxes: float
    scores: float
    coefficients: float
    prototypes: float
    snr: float


TOLERANCES: Mapping[Precision, Tolerance] = MappingProxyType(
    {
        # PyTorch itself differs by up to 1e-3 px and 4e-6 between fused and unfused, and float32 and float64.
        Precision.FP32: Tolerance(boxes=5e-3, scores=2e-5, coefficients=1e-4, prototypes=1e-4, snr=80),
        # 11 bits of mantissa through some 60 layers. Measured on trained weights: 2.5 px and .008, at anchors without
        # an object; .1 px where the score is above .25. On seeded weights, PyTorch's own half: 2.9 px and .021.
        Precision.FP16: Tolerance(boxes=4.0, scores=0.03, coefficients=0.1, prototypes=0.2, snr=30),
        # 8 bits: what matters is that no object is lost; the bounds catch a destroyed tensor.
        Precision.INT8: Tolerance(boxes=32.0, scores=0.25, coefficients=4.0, prototypes=4.0, snr=10),
    }
)
