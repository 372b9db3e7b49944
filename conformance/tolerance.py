"""How far a backend may be from PyTorch in float32: one table for all of them, each bound with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

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
        every_box: every number of a box is held against the limit; else all but one in a thousand (`BULK`).
    """

    boxes: float
    scores: float
    coefficients: float
    prototypes: float
    snr: float
    every_box: bool = True


LIMITS = ("boxes", "scores", "coefficients", "prototypes", "snr")
"""Names of the limits of a tolerance."""

BULK = 0.999
"""Share of a box's numbers that is held against the limit where few bits are left: an anchor that sees nothing has
a box all the same, a mean over distances as unsure as can be, and rounding moves it by any number of pixels.
"""


CROSSING: Mapping[Precision, float] = MappingProxyType(
    {Precision.FP32: 0.01, Precision.FP16: 0.02, Precision.INT8: 0.05}
)
"""How far above the threshold an object may be that only one of the two sees: less than single scores differ by (below:
.02 in fp16, .075 measured in int8). It is counted apart, and mAP weighs it.
"""

TOLERANCES: Mapping[Precision, Tolerance] = MappingProxyType(
    {
        # PyTorch itself differs by up to 1e-3 px and 4e-6 between fused and unfused, and float32 and float64.
        Precision.FP32: Tolerance(boxes=5e-3, scores=2e-5, coefficients=1e-4, prototypes=1e-4, snr=80),
        # 11 bits of mantissa through some 60 layers. The ratio decides: measured 45 to 80 dB. With ONNX: golden model
        # .33 px (.47 the worst), .003, .04, .01; trained weights of 80 classes at 640 pixels 1.2 px (5.2), .006, .014,
        # .016. Objects have bounds of their own, below.
        Precision.FP16: Tolerance(boxes=4.0, scores=0.03, coefficients=0.1, prototypes=0.2, snr=40, every_box=False),
        # 8 bits through some 60 layers move single numbers far. The same with ONNX: 11 px (17 the worst), .15, .9, .5
        # and 22 dB; 54 px (135), .38, .5, .6 and 16 dB. A tensor that is lost has 0 dB, one that keeps nothing but its
        # mean up to 7. Whether objects survive has bounds below.
        Precision.INT8: Tolerance(boxes=96.0, scores=0.5, coefficients=1.5, prototypes=3.0, snr=8, every_box=False),
    }
)
"""Of raw outputs: every anchor counts, whether it stands for an object or not."""

# Some ten times what PyTorch in float32 is from itself in float64.
UNTRAINED = Tolerance(boxes=2.0, scores=5e-3, coefficients=5e-2, prototypes=2e-2, snr=60)
"""For networks of all scales with weights made from a seed, in fp32: layer by layer, seeded weights amplify what is
rounded, far more than trained ones. With all else in float64, pixels that change by up to 2⁻²⁴ of themselves change
what comes out by 50 (n) to 220 times (x) that share; with trained weights by 2 to 7 times.

Measured at 64 and 160 pixels, the worst of all scales. Float32 against float64: .20 px, 3e-4, 3e-3, 1e-3 and 82 dB;
fused against unfused: .28 px, 6e-4, 5e-3, 2e-3 and 77 dB; ONNX: .21 px, 6e-4, 4e-3, 2e-3 and 78 dB; TorchScript:
.44 px, 8e-4, 5e-3, 3e-3 and 77 dB. An operator that is wrong leaves less than 20 dB.
"""


@dataclass(frozen=True)
class Bound:
    """What one figure is held against.

    Attributes:
        name: precision and figure, e.g. "fp16 box"; an `Allowance` names it so.
        limit: the largest value that is accepted, or the least.
        least: it is the least.
        unit: as figures have it.
        reason: where the limit comes from.
        allowed: why this backend has a wider one; "" where it has the common one.
    """

    name: str
    limit: float
    least: bool
    unit: str
    reason: str
    allowed: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value keeps it; NaN never does."""
        return value >= self.limit if self.least else value <= self.limit

    def __str__(self) -> str:
        """For reports: "<= 1 px", and why where it is wider than for others."""
        text = f"{'>=' if self.least else '<='} {self.limit:g} {self.unit}".rstrip()
        return f"{text} (wider for this backend: {self.allowed})" if self.allowed else text


@dataclass(frozen=True)
class Allowance:
    """A wider bound that one backend asks for.

    Attributes:
        bound: its name, see `BOUNDS`.
        value: the limit that it shall have.
        reason: why that is no fault; reports print it.
    """

    bound: str
    value: float
    reason: str


def allowances_of(declared: object) -> list[Allowance]:
    """What the attribute `allowances` of a backend asks for: {name of the bound: (value, reason)}.

    Raises:
        ValueError: it is something else.
    """
    form = "{name of a bound: (value, reason)}"
    if not isinstance(declared, Mapping):
        raise ValueError(f"allowances are {form}, not {declared!r}")
    for name, asked in declared.items():
        if not (isinstance(asked, tuple | list) and len(asked) == 2):
            raise ValueError(f"allowances are {form}: that for '{name}' is {asked!r}")
    return [Allowance(name, value, reason) for name, (value, reason) in declared.items()]


_PIXEL = "one pixel of an object of a thousand is worth .001"
_HALF = "11 bits of mantissa"
_BYTE = "8 bits: a score near the threshold may cross it"

_ROUNDED = {
    Precision.FP32: "sums of float32 in another order",
    Precision.FP16: "11 bits of mantissa through some 60 layers",
    Precision.INT8: "8 bits through some 60 layers",
}


def _raw(precision: Precision, output: str) -> str:
    """Name of the bound of a raw output, e.g. "fp32 raw boxes"; "fp32 raw SNR"."""
    return f"{precision} raw {'SNR' if output == 'snr' else output}"


def _raw_bounds() -> Iterator[Bound]:
    units = {"boxes": "px", "snr": "dB"}
    for precision, tolerance in TOLERANCES.items():
        for output in LIMITS:
            limit: float = getattr(tolerance, output)
            unit, reason = units.get(output, ""), _ROUNDED[precision]
            yield Bound(_raw(precision, output), limit, output == "snr", unit, reason)


BOUNDS: Mapping[str, Bound] = MappingProxyType(
    {
        bound.name: bound
        for bound in (
            # Measured on the golden model, 100 objects: 3.1e-5 px, 3e-6, .9998, none lost, with all three of ours.
            Bound("fp32 box", 5e-3, False, "px", "sums of float32 in another order"),
            Bound("fp32 score", 2e-5, False, "", "sums of float32 in another order"),
            Bound("fp32 mask IoU", 0.999, True, "", _PIXEL),
            Bound("fp32 mean mask IoU", 0.999, True, "", _PIXEL),
            Bound("fp32 match", 1.0, True, "", "objects outside the band around conf are the same ones"),
            Bound("fp32 mAP", 1e-3, False, "", "one pair of detections that changes places"),
            # Measured: .056 px, .006, .992 at worst and .9996 in the mean, none lost.
            Bound("fp16 box", 1.0, False, "px", _HALF),
            Bound("fp16 score", 0.02, False, "", _HALF),
            Bound("fp16 mask IoU", 0.9, True, "", f"{_HALF}: a pixel of an object of twenty is worth .05"),
            Bound("fp16 mean mask IoU", 0.98, True, "", _HALF),
            Bound("fp16 match", 1.0, True, "", "objects outside the band around conf are the same ones"),
            Bound("fp16 mAP", 0.005, False, "", _HALF),
            # Measured: 1.9 px, .075, .91 at worst and .985 in the mean, 2 of 100 lost.
            Bound("int8 match", 0.9, True, "", _BYTE),
            Bound("int8 mean mask IoU", 0.93, True, "", "8 bits"),
            Bound("int8 mAP", 0.02, False, "", "8 bits"),
            *_raw_bounds(),
        )
    }
)
"""Of objects, of scores over a data set, and of raw outputs (those of `TOLERANCES`, by name). A figure that has none
here is only reported.
"""


class Bounds:
    """The bounds of one backend: the common ones, but for what it asks for with a reason."""

    def __init__(self, allowances: Iterable[Allowance] = ()) -> None:
        """Take the allowances in.

        Raises:
            ValueError: there is no such bound, no reason, no number, or the bound would not be wider.
        """
        self._bounds = dict(BOUNDS)
        for given in allowances:
            asked: Any = given  # a plugin wrote it: it may be anything
            if not isinstance(asked, Allowance):
                raise ValueError(f"{asked!r} is no Allowance")
            if asked.bound not in BOUNDS:
                raise ValueError(f"an allowance for '{asked.bound}': the bounds are {', '.join(BOUNDS)}")
            if not isinstance(asked.reason, str) or len(asked.reason.split()) < 3:
                raise ValueError(f"the allowance for '{asked.bound}' needs a reason that a reader can judge")
            if isinstance(asked.value, bool) or not isinstance(asked.value, int | float):
                raise ValueError(f"the allowance for '{asked.bound}' is {asked.value!r}, not a number")
            if math.isinf(asked.value):
                raise ValueError(f"the allowance for '{asked.bound}' has no end: nothing would be tested")
            common = BOUNDS[asked.bound]
            wider = asked.value < common.limit if common.least else asked.value > common.limit
            if not wider:  # nor is NaN
                raise ValueError(f"the allowance {asked.value:g} for '{asked.bound}' is not wider than {common}")
            self._bounds[asked.bound] = replace(common, limit=asked.value, allowed=asked.reason)

    def of(self, precision: Precision, figure: str) -> Bound | None:
        """The bound of a figure in a precision, None where it is only reported."""
        return self._bounds.get(f"{precision} {figure}")

    def tolerance(self, precision: Precision) -> Tolerance:
        """That of raw outputs in a precision."""
        limits: dict[str, Any] = {name: self._bounds[_raw(precision, name)].limit for name in LIMITS}
        return replace(TOLERANCES[precision], **limits)


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
"""For int8 on trained weights, object by object. Measured with ONNX on the n scale: .977, .977 and .02."""
