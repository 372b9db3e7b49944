"""The memory of a search: its trials in a database, and which process is at which of them. Imports Optuna."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from filelock import FileLock, Timeout
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from segkit.core.errors import OptionError, OutputError, SourceError
from segkit.core.files import made_folder, output_error
from segkit.core.training.request import WEIGHTS
from segkit.core.training.tuning.files import trial_name
from segkit.core.training.tuning.plan import Plan, difference
from segkit.core.training.tuning.row import Row
from segkit.core.training.tuning.sampling import SeededSampler
from segkit.core.training.tuning.space import Places, Range, is_whole

DATABASE, LOCK, LOCKS = "study.db", ".study.lock", ".locks"
NAME, IDENTITY = "tune", "segkit"
WAIT = 120
"""Seconds to wait for another process that writes."""

ENOUGH = 5
"""Trials that have to end before one can fall behind them."""


class Attempt:
    """A trial that this process has taken on, new or given up by a process that ended. Nobody else has it meanwhile.

    Leave it without saying how it ended, and whoever comes next takes it on.

    Attributes:
        number: from 1.
        values: what is tried, by argument.
    """

    def __init__(self, trial: Trial, places: Places, lock: FileLock) -> None:
        """A trial whose lock is held."""
        self.number = trial.number + 1
        self._trial, self._lock = trial, lock
        self._known = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        self.values = {name: _suggested(trial, name, place) for name, place in places.items()}

    def falls_behind(self, epoch: int, fitness: float) -> bool:
        """Whether it does, with what an epoch (from 0) brought."""
        if epoch not in self._known:
            self._known.add(epoch)
            self._trial.report(fitness, epoch)
        return self._trial.should_prune()

    def succeeded(self, fitness: float, scores: Mapping[str, float]) -> None:
        """It ended well."""
        for name, value in scores.items():
            self._trial.set_user_attr(name, float(value))
        self._trial.study.tell(self._trial, fitness)

    def fell_behind(self) -> None:
        """It was ended early."""
        self._trial.study.tell(self._trial, state=TrialState.PRUNED)

    def failed(self, why: str) -> None:
        """It brought no score."""
        self._trial.set_user_attr("error", why)
        self._trial.study.tell(self._trial, state=TrialState.FAIL)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it up."""
        self._lock.release()


class Search:
    """A search that is going on."""

    def __init__(self, study: optuna.Study, folder: Path, places: Places, lock: FileLock) -> None:
        """Use `open_search`."""
        self._study, self._places, self.folder, self.lock = study, places, folder, lock

    def claim(self, most: int) -> Attempt | None:
        """A trial to run; None if there are `most` already.

        First those that a process had taken on which is not alive any more: killed, interrupted, or failed on its disk.
        """
        with self.lock:
            trials = self._study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state is TrialState.RUNNING and (lock := self._taken(trial.number)) is not None:
                    return Attempt(Trial(self._study, trial._trial_id), self._places, lock)
            if sum(trial.state is not TrialState.WAITING for trial in trials) >= most:
                return None
            new = self._study.ask()
            lock = self._taken(new.number)
            assert lock is not None
            return Attempt(new, self._places, lock)

    def rows(self) -> list[Row]:
        """All trials, in their order."""
        return [_row(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def _taken(self, number: int) -> FileLock | None:
        """The lock of a trial; None if another process has it. The system gives it free when its holder dies."""
        place = self.folder / LOCKS
        place.mkdir(exist_ok=True)
        lock = FileLock(place / str(number + 1), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock


@contextlib.contextmanager
def open_search(folder: Path, plan: Plan, *, prune: bool) -> Iterator[Search]:
    """The search in a folder: begun, or the one that is there.

    Raises:
        OptionError: the one that is there is another one.
        OutputError: the folder cannot be written, or has something else in it.
        SourceError: the database cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    args = plan.request.args
    lock = FileLock(folder / LOCK, timeout=WAIT, thread_local=False)
    try:
        with made_folder(folder), lock:
            _check_empty(folder)
            storage = _storage(folder / DATABASE)
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        with lock:
            study = _study(storage, args.seed, _pruner(args.epochs, prune=prune))
            if _never_began(study, folder) and _difference(study, plan):
                optuna.delete_study(study_name=NAME, storage=storage)
                study = _study(storage, args.seed, _pruner(args.epochs, prune=prune))
            _recognise(study, folder, plan)
        yield Search(study, folder, plan.places, lock)
    except optuna.exceptions.StorageInternalError as error:
        raise OutputError(folder / DATABASE, _words(error)) from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_empty(folder: Path) -> None:
    if not (folder / DATABASE).exists() and any(each.name != LOCK for each in folder.iterdir()):
        raise OutputError(folder, "it is not empty, and no search is in it; give another name")


def _storage(path: Path) -> RDBStorage:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=WAIT)

    try:
        # Given as a function: a path with a question mark in it would not survive as part of an address.
        return RDBStorage("sqlite://", engine_kwargs={"creator": connect})
    except Exception as error:  # the drivers raise what they like for a damaged or foreign file
        raise SourceError(path, f"it is no database of a search, or cannot be used ({_words(error)})") from error


def _study(storage: RDBStorage, seed: int, pruner: BasePruner) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        direction="maximize",
        load_if_exists=True,
        sampler=SeededSampler(seed),
        pruner=pruner,
    )


def _pruner(epochs: int, *, prune: bool) -> BasePruner:
    """In the first quarter of its epochs no trial is judged: a low rate begins slowly."""
    return MedianPruner(n_startup_trials=ENOUGH, n_warmup_steps=epochs // 4) if prune else NopPruner()


def _recognise(study: optuna.Study, folder: Path, plan: Plan) -> None:
    """Begin a search, or see that the one that is there is this one."""
    now = json.dumps(plan.identity)
    before = study.user_attrs.get(IDENTITY)
    if before is None:
        study.enqueue_trial(plan.first, skip_if_exists=True)  # killed after this, it happens once more
        study.set_user_attr(IDENTITY, now)
    elif other := _difference(study, plan):
        raise OptionError(f"Another search is in '{folder}': {other}. Give what was given then, or another name.")


def _difference(study: optuna.Study, plan: Plan) -> str:
    """What the search that is there was asked for otherwise; nothing if it is this one, or none."""
    before = study.user_attrs.get(IDENTITY)
    return "" if before is None else difference(json.loads(before), json.loads(json.dumps(plan.identity)))


def _never_began(study: optuna.Study, folder: Path) -> bool:
    """Whether no trial of it came so far as to leave anything: what was asked for was refused."""
    trials = study.get_trials(deepcopy=False)
    begun = any((folder / trial_name(trial.number) / WEIGHTS / "last.pt").exists() for trial in trials)
    return not begun and not any(trial.state.is_finished() for trial in trials)


def _suggested(trial: Trial, name: str, place: Range | tuple[str, ...]) -> Any:
    if not isinstance(place, Range):
        return trial.suggest_categorical(name, place)
    if is_whole(name):
        return trial.suggest_int(name, int(place.low), int(place.high), log=place.log)
    return trial.suggest_float(name, place.low, place.high, log=place.log)


def _row(trial: FrozenTrial) -> Row:
    error = trial.user_attrs.get("error", "")
    scores = {name: value for name, value in trial.user_attrs.items() if name != "error"}
    state = _STATES[trial.state]
    return Row(trial.number + 1, state, trial.value if state != "failed" else None, dict(trial.params), scores, error)


_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def _words(error: BaseException) -> str:
    """The driver's own: below what Optuna and SQLAlchemy say around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
