"""A network captured once, as every exporter wants it. torch."""

from segkit.core.graph.program import Program, capture

__all__ = ["Program", "capture"]
