"""A run as its callbacks see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.training.arguments import TrainArguments
from segkit.core.training.record import EpochRecord

if TYPE_CHECKING:
    import torch

    from segkit.core.data.dataset import Dataset
    from segkit.core.data.loader import TrainBatch
    from segkit.core.metrics import SegmentationMetrics
    from segkit.core.model.network import SegmentationNetwork


@dataclass
class TrainRun:
    """A training: what it is made of, how far it is, and `stop`, which callbacks may set.

    Names are those that callbacks of this field know.

    Attributes:
        args: the arguments.
        save_dir: folder of the run.
        start_epoch: the first epoch of this part of the run, from 0: another one than 0 if it was resumed.
        epoch: the current epoch, from 0.
        epochs: of the run.
        batches: in an epoch.
        batch_number: of the current epoch, from 0.
        batch: the current batch; None between epochs.
        losses: mean losses of the epoch so far, by name.
        record: of the latest epoch that was finished.
        history: of all epochs that were finished, earlier parts of a resumed run included.
        metrics: figures of the latest validation by name.
        fitness, best_fitness: of the latest epoch and of the best one; None before the first validation.
        best_epoch: from 0.
        results: scores of the best weights, once the run has ended.
        model: the network that learns.
        ema: the average of its weights, which is validated and saved.
        optimizer: of the run.
        device: where it computes.
        trainset, valset: the data sets.
        stop: set it, and the run ends as a finished one: after this batch, or, in several processes, this epoch.
    """

    args: TrainArguments
    save_dir: Path
    start_epoch: int = 0
    epoch: int = 0
    epochs: int = 0
    batches: int = 0
    batch_number: int = 0
    batch: TrainBatch | None = None
    losses: dict[str, float] = field(default_factory=dict)
    record: EpochRecord | None = None
    history: list[EpochRecord] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    fitness: float | None = None
    best_fitness: float | None = None
    best_epoch: int = 0
    results: SegmentationMetrics | None = None
    model: SegmentationNetwork | None = None
    ema: SegmentationNetwork | None = None
    optimizer: torch.optim.Optimizer | None = None
    device: str = "cpu"
    trainset: Dataset | None = None
    valset: Dataset | None = None
    stop: bool = False

    @property
    def wdir(self) -> Path:
        """Folder of the checkpoints."""
        return self.save_dir / "weights"

    @property
    def last(self) -> Path:
        """The latest checkpoint: a run is resumed from it."""
        return self.wdir / "last.pt"

    @property
    def best(self) -> Path:
        """The best weights so far."""
        return self.wdir / "best.pt"

    @property
    def names(self) -> dict[int, str]:
        """Class names."""
        return dict(self.trainset.names) if self.trainset is not None else {}

    def settings(self) -> dict[str, Any]:
        """The arguments as plain values: what args.yaml holds."""
        return self.args.model_dump(mode="json")
