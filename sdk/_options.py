"""Options of predict in words: apart from the formats, because showing them needs neither plugins nor numpy."""

from __future__ import annotations

from segkit.core.backend.options import OptionRow, describe
from segkit.core.inference.arguments import PredictArguments


def predict_options() -> list[OptionRow]:
    """Name, type, default and help of everything that `predict` accepts."""
    return describe(PredictArguments)
