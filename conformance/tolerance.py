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
        # 8 bits through some 60 layers move single numbers far, and random weights more than trained ones. Measured on
        # seeded weights: 58 px, .31, .45, 1.4 and 8.7 dB. A tensor that is lost has 0 dB, one that keeps nothing but
        # its mean up to 7. Whether objects survive is seen on trained weights: OBJECTS.
        Precision.INT8: Tolerance(boxes=96.0, scores=0.5, coefficients=1.5, prototypes=3.0, snr=8),
    }
)


@dataclass(frozen=True)
class ObjectTolerance:
    """What objects may lose: those of the reference with `confidence` or more must be found again.

    Attributes:
        confidence: least score of the objects that count.
        box_iou: least overlap of an object's boxes.
        mask_iou: least overlap of its masks.
        score: largest difference of its scores.
    """

    confidence: float
    box_iou: float
    mask_iou: float
    score: float


OBJECTS = ObjectTolerance(confidence=0.4, box_iou=0.85, mask_iou=0.85, score=0.1)
"""For int8. Measured with ONNX on the n scale: .977, .977 and .02."""
