"""The end of a run: weights to use, and how good they are; or what went wrong, in files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.core.errors import TrainingError
from segkit.core.files import atomic_write
from segkit.core.model import load_network
from segkit.core.notices import notice
from segkit.core.training.checkpoint import save_weights
from segkit.core.training.loss import NAMES, SegmentationLoss
from segkit.core.training.scoring import score, val_arguments

if TYPE_CHECKING:
    from segkit.core.data.dataset import Dataset
    from segkit.core.metrics import SegmentationMetrics
    from segkit.core.training.arguments import TrainArguments
    from segkit.core.training.run import TrainRun
    from segkit.core.training.stepper import NotFiniteLossError


def finish(
    run: TrainRun, args: TrainArguments, dataset: Dataset | None, train_args: Mapping[str, Any]
) -> SegmentationMetrics | None:
    """Score the best weights, and leave weights alone behind, without the state of the run.

    Returns:
        Their scores; None where nothing is validated.

    Raises:
        OutputError: they cannot be written.
    """
    import torch

    assert run.ema is not None
    best = run.ema
    if args.save and run.best_fitness is not None and run.best.exists():
        best = load_network(run.best)
    elif args.save:
        save_weights(run.best, run.ema, train_args, half=True)
    scores = None
    if dataset is not None and args.val:
        home = {"project": str(run.save_dir.parent), "name": run.save_dir.name, "exist_ok": True}
        asked = val_arguments(args, batch=16, plots=args.plots, **home)
        loss = SegmentationLoss(tuple(best.config.strides))
        scores = replace(score(best, dataset, asked, loss, torch.device(run.device)).metrics, save_dir=run.save_dir)
    if args.save:  # last: as long as this is not done, the run can be resumed
        save_weights(run.last, run.ema, train_args, half=True)
    return scores


def save_batch(error: NotFiniteLossError, run: TrainRun) -> TrainingError:
    """Save the batch with which the loss stopped being a number; gives the error that says so."""
    batch, epoch = error.batch, run.epoch + 1
    parts = ", ".join(f"{name} {value:.4g}" for name, value in zip(NAMES, error.parts.tolist(), strict=True))
    where = f"in epoch {epoch}, batch {batch.number + 1} of {run.batches}"
    problem = f"the {error.what} is not a number any more, {where} ({parts})"
    names = ", ".join(path.name for path in batch.paths[:8]) + (", …" if len(batch.paths) > 8 else "")
    advice = f"Its pictures begin with {names}."
    place = run.save_dir / "failed_batch.npz"
    with contextlib.suppress(Exception):  # what went wrong first is what is told
        _write(place, batch)
        advice = f"The batch is saved in {place}; its pictures begin with {names}."
    return TrainingError(problem, f"{advice} Try a lower lr0, amp=False, or other pictures.")


def _write(place: Path, batch: Any) -> None:
    arrays = {name: getattr(batch, name).cpu().numpy() for name in ("images", "owner", "classes", "boxes", "masks")}
    arrays["paths"] = np.array([str(path) for path in batch.paths])
    with atomic_write(place) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    notice(f"batch saved: {place}")
