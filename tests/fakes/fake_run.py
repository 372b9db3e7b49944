"""A training without a network: a run with batches, losses and scores that somebody is told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from segkit.core.data.dataset import Dataset
from segkit.core.data.labels import Labels
from segkit.core.data.sample import Sample
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.record import EpochRecord
from segkit.core.training.run import TrainRun

NAMES = {0: "person", 1: "bus"}


def record(epoch: int, epochs: int = 3, *, scored: bool = True, best: bool = False, **changed: Any) -> EpochRecord:
    """An epoch: losses fall, scores rise."""
    losses = {f"{name}_loss": value / epoch for name, value in {"box": 2, "seg": 4, "cls": 3, "dfl": 1}.items()}
    figures = ("precision", "recall", "mAP50", "mAP50-95")
    scores = {
        f"metrics/{figure}({letter})": (place + 1) / 10 * epoch / epochs
        for place, (letter, figure) in enumerate((letter, figure) for letter in "BM" for figure in figures)
    }
    values: dict[str, Any] = {
        "epoch": epoch,
        "epochs": epochs,
        "seconds": 60.0 * epoch,
        "losses": losses,
        "val_losses": {name: 1.1 * value for name, value in losses.items()} if scored else {},
        "metrics": scores if scored else {},
        "rates": {"pg0": 0.01 / epoch, "pg1": 0.01 / epoch, "pg2": 0.1 / epoch},
        "images_per_second": 123.4,
        "memory": 2_100_000_000,
        "fitness": scores["metrics/mAP50-95(B)"] if scored else None,
        "best": best,
    }
    return EpochRecord(**values | changed)


def batch(count: int = 2, size: tuple[int, int] = (64, 96), *, overlapping: bool = True) -> Any:
    """Pictures of one colour each, with a person on the left side of each and a bus on the right side of the first."""
    height, width = size
    images = torch.full((count, 3, height, width), 200, dtype=torch.uint8)
    owner = torch.tensor([0, 0, *range(1, count)])
    classes = torch.tensor([0, 1] + [0] * (count - 1))
    left, right = [0.25, 0.5, 0.4, 0.8], [0.75, 0.5, 0.4, 0.8]
    boxes = torch.tensor([left, right] + [left] * (count - 1))
    masks = torch.zeros((len(owner), height // 4, width // 4), dtype=torch.uint8)
    scaled = boxes * torch.tensor([width, height, width, height]) / 4
    for mask, (x, y, w, h) in zip(masks, scaled.tolist(), strict=True):
        mask[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)] = 1
    if overlapping:
        maps = torch.zeros((count, height // 4, width // 4), dtype=torch.uint8)
        for picture in range(count):
            for number, index in enumerate((owner == picture).nonzero().flatten().tolist()):
                maps[picture][masks[index] > 0] = number + 1
        masks = maps
    return SimpleNamespace(
        images=images, owner=owner, classes=classes, boxes=boxes, masks=masks, overlapping=overlapping, number=0
    )


def dataset(names: Mapping[int, str] | None = None, pictures: int = 4, objects: int = 3) -> Dataset:
    """Labelled pictures that are not there: their boxes are drawn by lot."""
    names = NAMES if names is None else names
    draw = np.random.default_rng(0)
    samples = []
    for number in range(pictures):
        corners = np.sort(draw.random((objects, 2, 2)), axis=1).reshape(objects, 4)
        labels = Labels.of(draw.integers(0, len(names), objects), [()] * objects, corners)
        samples.append(Sample(Path(f"{number}.jpg"), (480, 640), labels, number, None))
    return Dataset(Path("data.yaml"), "train", dict(names), tuple(samples))


def run_in(folder: Path, *, epochs: int = 3, batches: int = 4, **arguments: Any) -> TrainRun:
    """A run before its first epoch."""
    args = TrainArguments(**{"epochs": epochs, "data": "data.yaml", **arguments})
    found = dataset()
    return TrainRun(args=args, save_dir=folder, epochs=epochs, batches=batches, trainset=found, valset=found)


def train(callbacks: Any, run: TrainRun, *, until: int | None = None, scored: bool = True) -> None:
    """Tell callbacks what a training tells them, from the run's start to its end, or until so many epochs are done."""
    for _ in steps(callbacks, run, until=until, scored=scored):
        pass


def steps(callbacks: Any, run: TrainRun, *, until: int | None = None, scored: bool = True) -> Iterator[str]:
    """The same one event after the other; gives its name when everybody was told."""

    def tell(event: str) -> str:
        callbacks.call(event, run)
        return event

    last = run.epochs if until is None else until
    for event in ("pretrain_routine_start", "pretrain_routine_end", "train_start"):
        yield tell(event)
    for epoch in range(run.start_epoch, last):
        run.epoch = epoch
        yield tell("train_epoch_start")
        for number in range(run.batches):
            run.batch, run.batch_number = batch(), number
            yield tell("train_batch_start")
            run.losses = dict(record(run.epoch + 1).losses)
            yield tell("train_batch_end")
        run.batch = None
        yield tell("train_epoch_end")
        run.record = record(run.epoch + 1, run.epochs, scored=scored, best=scored)
        run.metrics, run.best_epoch = dict(run.record.metrics), run.epoch
        run.history.append(run.record)
        yield tell("fit_epoch_end")
        yield tell("model_save")
    if last == run.epochs:
        yield tell("train_end")
    yield tell("teardown")
