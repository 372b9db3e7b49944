"""Raw outputs of two models over many pictures, and the first of them that diverges."""

from __future__ import annotations

from dataclasses import dataclass

from segkit.conformance.compare import OUTPUTS, Deviation, compare
from segkit.conformance.tolerance import TOLERANCES, Tolerance
from segkit.core.backend import Anchors, Precision, Selected


@dataclass(frozen=True)
class Divergence:
    """The largest deviation of one output, and in which picture it was."""

    deviation: Deviation
    picture: str
    within: bool


class RawTally:
    """The largest deviation of each output so far; or, in `skipped`, why they are not compared."""

    def __init__(self, precision: Precision) -> None:
        """`precision` chooses the tolerance."""
        self.tolerance = TOLERANCES[precision]
        self.skipped: str | None = None
        self.outputs: dict[str, Divergence] = {}

    @property
    def first(self) -> str | None:
        """The first output, in the order of the contract, that is beyond the tolerance; None where none is."""
        return next((name for name in OUTPUTS if name in self.outputs and not self.outputs[name].within), None)

    def add(self, picture: str, got: Anchors | Selected, wanted: Anchors | Selected) -> None:
        """Take in what both made of the same input."""
        if not (isinstance(got, Anchors) and isinstance(wanted, Anchors)):
            self.skipped = "objects are selected inside one of the files, so their raw outputs are not there"
        elif other := _other_shape(got, wanted):
            self.skipped = other
        else:
            for deviation in compare(got, wanted):
                self._take(Divergence(deviation, picture, deviation.within(self.tolerance)))

    def _take(self, found: Divergence) -> None:
        known = self.outputs.get(found.deviation.output)
        if known is None or _order(found, self.tolerance) > _order(known, self.tolerance):
            self.outputs[found.deviation.output] = found


def _order(found: Divergence, tolerance: Tolerance) -> tuple[bool, float]:
    # Beyond comes before within, whatever the error: a deviation may fail by its ratio of signal to noise.
    return not found.within, found.deviation.judged(tolerance)


def _other_shape(got: Anchors, wanted: Anchors) -> str | None:
    for name in OUTPUTS:
        one, other = getattr(got, name).shape, getattr(wanted, name).shape
        if one != other:
            return f"{name} have the shape {one}, in the reference {other}"
    return None
