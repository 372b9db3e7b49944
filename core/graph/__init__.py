"""A network captured once, as every exporter wants it, and the walk that builds it anew in other operators. torch."""

from segkit.core.graph.lowering import Lowering, Sides, Step
from segkit.core.graph.program import Program, capture

__all__ = ["Lowering", "Program", "Sides", "Step", "capture"]
