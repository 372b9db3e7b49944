"""What a search leaves to read: a table of all trials, and the best arguments."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segkit.core.files import atomic_write
from segkit.core.training.request import WEIGHTS
from segkit.core.training.tuning.row import SCORES, Row, best_of

BEST, TABLE, PICTURE = "best_hyperparameters.yaml", "tune_results.csv", "tune.png"


def trial_name(number: int) -> str:
    """The folder of a trial's run."""
    return f"trial{number}"


def write_table(folder: Path, rows: Sequence[Row]) -> None:
    """A row a trial.

    Raises:
        OutputError: it cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["trial", "state", "fitness", *SCORES, *names])
    for row in rows:
        scores = [row.scores.get(name) for name in SCORES]
        cells = [row.fitness, *scores, *(row.values.get(name) for name in names)]
        table.writerow([row.number, row.state, *map(_cell, cells)])
    with atomic_write(folder / TABLE) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def write_best(folder: Path, rows: Sequence[Row], fixed: Mapping[str, Any]) -> None:
    """The best arguments so far, as `cfg` of a training reads them; `fixed` are those that all trials share.

    Raises:
        OutputError: it cannot be written.
    """
    best = best_of(rows)
    if best is None:
        return
    path = folder / BEST
    words = (
        f"# Found by segkit tune in trial {best.number} of {len(rows)}: box and mask mAP50-95 together "
        f"{best.fitness:.5f}.\n# segkit train cfg={path} epochs=100\n"
    )
    with atomic_write(path) as partial:
        text = yaml.safe_dump({**fixed, **best.values}, sort_keys=False, allow_unicode=True)
        partial.write_text(words + text, encoding="utf-8")


def keep_best_weights(folder: Path, rows: Sequence[Row]) -> None:
    """Take away the weights of trials that are over and are not the best: of large models they fill a disk."""
    best = best_of(rows)
    for row in rows:
        if row.state != "running" and row != best:
            shutil.rmtree(folder / trial_name(row.number) / WEIGHTS, ignore_errors=True)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
