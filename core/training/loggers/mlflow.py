"""MLflow: arguments, figures and pictures go where its own variables say, or into a database file of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from segkit.core.training.events import hookimpl
from segkit.core.training.loggers.contents import figures, files_of

if TYPE_CHECKING:
    from segkit.core.training.record import EpochRecord
    from segkit.core.training.run import TrainRun

EXPERIMENT = "segkit"

AT_ONCE = 100
"""Parameters that MLflow takes in one call."""

QUIET = {
    # MLflow reports its use to its makers unless it is told not to before it is imported.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # By default it tries for four minutes to reach a server that is away, and the training stands still meanwhile.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


class MlflowLogger:
    """A run of MLflow: its own, or the one that the user's script has begun, which it leaves open."""

    title = "The MLflow logger"

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Nothing is sent yet; `environ` may name the experiment."""
        self._environ = environ
        self._mlflow: Any = None
        self._is_own = self._is_done = False

    @hookimpl
    def segkit_train_start(self, run: TrainRun) -> None:
        """Begin a run; of a training that goes on, the epochs that are done are told again."""
        if self._mlflow is not None:
            return
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._mlflow = mlflow
        if mlflow.active_run() is None:
            if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"} & self._environ.keys():
                mlflow.set_experiment(EXPERIMENT)
            mlflow.start_run(run_name=run.save_dir.name)
            self._is_own = True
        # What a run of MLflow has once been told of a parameter cannot be changed.
        known = mlflow.active_run().data.params
        settings = {name: str(value) for name, value in run.settings().items() if name not in known}
        for some in _portions(settings, AT_ONCE):
            mlflow.log_params(some)
        for record in run.history:
            self._log(record)

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """The figures of an epoch."""
        if self._mlflow is not None and run.record is not None:
            self._log(run.record)

    @hookimpl
    def segkit_train_end(self, run: TrainRun) -> None:
        """Pictures, results.csv and args.yaml; no weights."""
        if self._mlflow is not None:
            for path in files_of(run.save_dir):
                self._mlflow.log_artifact(str(path))
            self._is_done = True

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        """End the run that was begun here."""
        mlflow, self._mlflow = self._mlflow, None
        if mlflow is not None and self._is_own:
            mlflow.end_run(status="FINISHED" if self._is_done else "FAILED")

    def _log(self, record: EpochRecord) -> None:
        self._mlflow.log_metrics({plain(name): value for name, value in figures(record).items()}, step=record.epoch)


def plain(name: str) -> str:
    """A name as MLflow takes it: metrics/mAP50(B) is metrics/mAP50B there."""
    return re.sub(r"[^\w/.: -]", "", name)


def _portions(values: Mapping[str, str], size: int) -> Iterator[dict[str, str]]:
    items = list(values.items())
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])
