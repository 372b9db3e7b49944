"""What is asked of a training, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segkit.core.training.arguments import TrainArguments

if TYPE_CHECKING:
    from segkit.core.metrics import SegmentationMetrics

WEIGHTS = "weights"
"""Folder of a run's checkpoints."""


class Trained(NamedTuple):
    """What came of a run: scores of the best weights, if they were validated; the folder; and the data set."""

    results: SegmentationMetrics | None
    folder: Path
    data: str | None


class Request(NamedTuple):
    """A run that is asked for.

    Attributes:
        model: an architecture (.yaml) or weights.
        args: the arguments.
        checkpoint: of the run that goes on; None for a new one.
    """

    model: Path
    args: TrainArguments
    checkpoint: Path | None = None
