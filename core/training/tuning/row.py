"""A trial as tables and pictures show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SCORES = ("metrics/mAP50-95(B)", "metrics/mAP50-95(M)")
"""What is kept of a trial besides its fitness, which is their sum."""


class Row(NamedTuple):
    """One trial.

    Attributes:
        number: from 1.
        state: complete, pruned (ended early), failed or running.
        fitness: box and mask mAP50-95 together; of a pruned one that of its last epoch.
        values: what was tried.
        scores: see `SCORES`.
        error: why it failed.
    """

    number: int
    state: str
    fitness: float | None
    values: Mapping[str, Any]
    scores: Mapping[str, float]
    error: str = ""


def best_of(rows: Sequence[Row]) -> Row | None:
    """The best one that was trained to its end, the first of equals; None if none was."""
    whole = [row for row in rows if row.state == "complete" and row.fitness is not None]
    return max(whole, key=lambda row: row.fitness or 0.0, default=None)
