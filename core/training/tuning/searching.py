"""The search: one trial after another, until there are as many as were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segkit.core.backend.options import validate
from segkit.core.errors import InputError, MissingDependencyError, OutputError, SourceError, TrainingError
from segkit.core.inference.output import PROJECT
from segkit.core.notices import notice
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.request import WEIGHTS, Request, Trained
from segkit.core.training.starting import CHANGEABLE, asked, train
from segkit.core.training.tuning import files
from segkit.core.training.tuning.arguments import TuneArguments
from segkit.core.training.tuning.plan import Plan, plan_of
from segkit.core.training.tuning.row import SCORES, Row, best_of
from segkit.core.training.tuning.telling import Teller

if TYPE_CHECKING:
    from segkit.core.training.events import Callback
    from segkit.core.training.run import TrainRun
    from segkit.core.training.tuning.space import Space
    from segkit.core.training.tuning.study import Attempt, Search

Callbacks = Mapping[str, Sequence["Callback"]]

HOPELESS = 3
"""Trials in a row from the first on that fail: then it is not the arguments."""


class Tuned(NamedTuple):
    """What a search came to.

    Attributes:
        folder: with the database, a table of all trials, a picture, the best arguments, and a run a trial.
        best: the arguments that were found, by name.
        fitness: box and mask mAP50-95 together, with these.
        trial: which it was, from 1.
        given: what the first trial had of them: that is what the user gave.
        first: the fitness with that; None if that trial did not end well.
        trials: trainings that were tried.
    """

    folder: Path
    best: dict[str, Any]
    fitness: float
    trial: int
    given: dict[str, Any]
    first: float | None
    trials: int


def tune(
    model: Path,
    options: Mapping[str, Any],
    args: TuneArguments,
    data: str | None = None,
    space: Space | None = None,
    callbacks: Callbacks | None = None,
) -> Tuned:
    """Search.

    Args:
        model: an architecture (.yaml) or weights.
        options: of every training; see `TrainArguments`. `project` and `name` are the folder of the search.
        args: of the search.
        data: the data set that the model remembers, if it does.
        space: where to look, by argument: a Range, (low, high), or a list of words; default: `SPACE`.
        callbacks: the user's, told of every training.

    Raises:
        MissingDependencyError: Optuna is not installed.
        OptionError: an argument that training does not have, a range that it does not take, or another search is in
            the folder.
        TrainingError: no trial ended well.
        KeyboardInterrupt: it was interrupted; the same call goes on.
    """
    _check_optuna()
    from segkit.core.training.tuning.study import open_search

    plan = plan_of(model, options, args, data, space)
    plan = plan._replace(draws=plan.draws and _can_draw())
    asked_for = plan.request.args
    folder = Path(asked_for.project or PROJECT, asked_for.name or "tune")
    with open_search(folder, plan, prune=args.prune) as search:
        if before := [row for row in search.rows() if row.state != "running"]:
            notice(f"{folder}: {len(before)} of {args.iterations} trials are there already")
        with Teller(plan.places, args.iterations) as teller:
            try:
                _search(search, plan, args.iterations, teller, callbacks or {}, options)
            except KeyboardInterrupt:
                notice("interrupted; the same command goes on with this search")
                raise
        return _outcome(folder, search.rows())


def _search(
    search: Search, plan: Plan, most: int, teller: Teller, callbacks: Callbacks, options: Mapping[str, Any]
) -> None:
    while (attempt := search.claim(most)) is not None:
        with attempt, teller.hushed(attempt.number):
            _try(attempt, search.folder, plan, teller, callbacks, options)
        with search.lock:
            rows = search.rows()
            files.write_table(search.folder, rows)
            files.write_best(search.folder, rows, plan.fixed)
            files.keep_best_weights(search.folder, rows)
            _draw(search.folder, rows, plan)
        teller.ended(next(row for row in rows if row.number == attempt.number), best_of(rows))
        if len(rows) >= HOPELESS and all(row.state == "failed" for row in rows):
            raise TrainingError(f"the first {len(rows)} trials all failed. The last one: {rows[-1].error}")


def _try(
    attempt: Attempt, folder: Path, plan: Plan, teller: Teller, callbacks: Callbacks, options: Mapping[str, Any]
) -> None:
    behind = False

    def watch(run: TrainRun) -> None:
        nonlocal behind
        is_last = run.epoch + 1 >= run.epochs
        if run.fitness is not None and attempt.falls_behind(run.epoch, run.fitness) and not is_last and not run.stop:
            behind = run.stop = True

    own: Callbacks = {"on_train_batch_end": [teller.follow], "on_fit_epoch_end": [watch]}
    together = {event: [*callbacks.get(event, ()), *own.get(event, ())] for event in {*callbacks, *own}}
    devices = plan.request.args.device
    if devices is not None and len(devices) > 1:
        together = {}  # no function is called in the processes that are started for them: no trial is ended early
    try:
        trained = _trained(attempt, folder, plan, options, together)
    except TrainingError as error:
        attempt.failed(error.problem)
        return
    if behind:
        attempt.fell_behind()
    elif trained.results is None:
        attempt.failed("it was not validated")
    else:
        _succeed(attempt, trained)


def _succeed(attempt: Attempt, trained: Trained) -> None:
    assert trained.results is not None
    found = trained.results.results_dict
    attempt.succeeded(float(trained.results.fitness), {name: found[name] for name in SCORES if name in found})


def _trained(attempt: Attempt, folder: Path, plan: Plan, options: Mapping[str, Any], callbacks: Callbacks) -> Trained:
    """The training of a trial: from its checkpoint, if a process that ended has left one."""
    last = folder / files.trial_name(attempt.number) / WEIGHTS / "last.pt"
    if last.exists():
        now = {option: value for option, value in options.items() if option in CHANGEABLE - {"plots", "val"}}
        try:
            return train(asked(last, {**now, "resume": True}), callbacks)
        except (OutputError, SourceError):
            raise
        except InputError:
            last.unlink()  # it had just ended, is damaged or does not fit: once more from the beginning
    return train(_request(attempt, folder, plan), callbacks)


def _request(attempt: Attempt, folder: Path, plan: Plan) -> Request:
    own = {"project": str(folder), "name": files.trial_name(attempt.number), "exist_ok": True}
    values = validate(TrainArguments, attempt.values | own, "tune").model_dump(include={*attempt.values, *own})
    return plan.request._replace(args=plan.request.args.model_copy(update=values))


def _draw(folder: Path, rows: Sequence[Row], plan: Plan) -> None:
    if plan.draws:
        from segkit.core.training.tuning.picture import draw_tuning

        draw_tuning(rows, plan.places, folder / files.PICTURE)


def _can_draw() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        notice(str(MissingDependencyError(["segkit[val]"], f"Drawing {files.PICTURE}")))
        return False
    return True


def _outcome(folder: Path, rows: Sequence[Row]) -> Tuned:
    best = best_of(rows)
    if best is None:
        raise TrainingError("none of the trials of the search ended well", f"See {folder / files.TABLE}.")
    if not best.fitness:
        notice("no trial found a single object: give more epochs, so that trials can be told apart")
    first = rows[0]
    score = first.fitness if first.state == "complete" else None
    return Tuned(folder, dict(best.values), best.fitness or 0.0, best.number, dict(first.values), score, len(rows))


def _check_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise MissingDependencyError(["segkit[tune]"], "A search for arguments") from None
