"""What is known at the end of an epoch: a row of results.csv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a run.

    Attributes:
        epoch: its number, from 1.
        epochs: of the run.
        seconds: since the run began, those of earlier parts of a resumed run included.
        losses: mean training losses by name: box_loss, seg_loss, cls_loss, dfl_loss.
        val_losses: the same on the validation pictures; empty where they were not scored.
        metrics: figures of the validation by the names that users know, such as metrics/mAP50-95(M); empty likewise.
        rates: learning rates of the groups of the optimizer, in the end: pg0 (weights), pg1 (norms), pg2 (biases).
        images_per_second: of the training part.
        memory: bytes held at most, of the device or, on a CPU, of the process.
        fitness: box and mask mAP50-95 together; None where it was not validated.
        best: whether no epoch before was better.
    """

    epoch: int
    epochs: int
    seconds: float
    losses: Mapping[str, float]
    val_losses: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    memory: int = 0
    fitness: float | None = None
    best: bool = False

    def row(self) -> dict[str, float]:
        """By the columns that tools for such files know, in their order."""
        return {
            "epoch": self.epoch,
            "time": self.seconds,
            **{f"train/{name}": value for name, value in self.losses.items()},
            **self.metrics,
            **{f"val/{name}": value for name, value in self.val_losses.items()},
            **{f"lr/{name}": value for name, value in self.rates.items()},
        }
