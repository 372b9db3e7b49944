"""Weights & Biases: arguments, figures and pictures go where its variables say; with WANDB_MODE=offline they stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segkit.core.training.events import hookimpl
from segkit.core.training.loggers.contents import figures, pictures_in

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun

PROJECT = "segkit"

SETTINGS = {
    # It would take standard error for itself, and with it every drawing of the table.
    "console": "off",
    # Seconds for a server that is away; the training stands still meanwhile.
    "init_timeout": 30,
}


class WandbLogger:
    """A run of Weights & Biases: its own, or the one that the user's script has begun, which it leaves open."""

    title = "The Weights & Biases logger"

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Nothing is sent yet; `environ` may name project, run and folder."""
        self._environ = environ
        self._wandb: Any = None
        self._run: Any = None
        self._is_own = self._is_done = False

    @hookimpl
    def segkit_train_start(self, run: TrainRun) -> None:
        """Begin a run; of a training that goes on, the epochs that are done are told again."""
        if self._run is not None:
            return
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its failures are reported to its makers otherwise
        import wandb

        self._wandb, self._is_own = wandb, wandb.run is None
        self._run = self._begun(run) if wandb.run is None else wandb.run
        self._run.config.update(run.settings(), allow_val_change=True)
        for record in run.history:
            self._run.log(figures(record), step=record.epoch)

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """The figures of an epoch."""
        if self._run is not None and run.record is not None:
            self._run.log(figures(run.record), step=run.record.epoch)

    @hookimpl
    def segkit_train_end(self, run: TrainRun) -> None:
        """The pictures; no weights."""
        if self._run is not None:
            shown = {path.name: self._wandb.Image(str(path)) for path in pictures_in(run.save_dir)}
            if shown:
                self._run.log(shown)
            self._is_done = True

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        """End the run that was begun here."""
        own, self._run = self._run, None
        if own is not None and self._is_own:
            own.finish(exit_code=0 if self._is_done else 1)

    def _begun(self, run: TrainRun) -> Any:
        return self._wandb.init(
            project=self._environ.get("WANDB_PROJECT") or PROJECT,
            name=self._environ.get("WANDB_NAME") or run.save_dir.name,
            dir=self._environ.get("WANDB_DIR") or str(run.save_dir),
            settings=dict(SETTINGS),
        )
