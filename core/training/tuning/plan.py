"""What is searched: the training that all trials share, where to look, and by what the search is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segkit.core.errors import OptionError, SourceError
from segkit.core.notices import notice
from segkit.core.training.arguments import NOT_SAVED, OptimizerName, TrainArguments
from segkit.core.training.request import Request
from segkit.core.training.starting import asked
from segkit.core.training.tuning.arguments import TuneArguments
from segkit.core.training.tuning.space import Places, Space, beginning, places_of, reaching

if TYPE_CHECKING:
    from segkit.core.training.preparing import Sets

FREE = NOT_SAVED | {
    *("data", "project", "name", "device", "workers", "cache", "save", "save_period", "plots", "profile"),
    *("loggers", "verbose", "val"),
}
"""Arguments that may be other ones when a search goes on: no score depends on them. `data` is known by its contents."""

SHORT = {"epochs", "time", "patience", "fraction"}
"""What makes trials short: not for the training that follows them."""

BY_OPTIMIZER = ("optimizer", "lr0", "momentum", "warmup_bias_lr")
"""What optimizer="auto" decides."""


class Plan(NamedTuple):
    """A search before its first trial.

    Attributes:
        request: the training of every trial, but for what is searched.
        places: where to look.
        first: the first trial.
        fixed: other arguments that go with what is found.
        identity: by what an interrupted search is known to be this one.
        draws: whether there is to be a picture.
    """

    request: Request
    places: Places
    first: dict[str, Any]
    fixed: dict[str, Any]
    identity: dict[str, Any]
    draws: bool


def plan_of(
    model: Path, options: Mapping[str, Any], args: TuneArguments, data: str | None, space: Space | None
) -> Plan:
    """Check everything that can be checked before the first training, and read the data set.

    Raises:
        SegkitError: what was given cannot be searched with.
    """
    from segkit.core.training.processes import joined, several

    request = asked(model, _without_resume(options), data)
    places = places_of(space, args.search, request.args)
    if several():
        raise OptionError(
            "tune is not for torchrun: start the same command once for each GPU (device=0, device=1, …) instead; they "
            "share the search."
        )
    if not request.args.val:
        notice("val=False is not followed: a search goes by what the validation of every epoch finds")
    trial = request.args.model_copy(update={"val": True, "plots": False, "resume": False})
    sets = _opened(trial, joined(trial.device))
    trial = _with_optimizer(trial, places, sets)
    if space is None:
        places = reaching(places, trial)
    return Plan(
        request=request._replace(args=trial),
        places=places,
        first=beginning(places, trial),
        fixed=_fixed(model, trial, places),
        identity=_identity(model, trial, places, sets),
        draws=request.args.plots,
    )


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what two searches are different, in words; empty if they are the same."""
    if before["model"] != now["model"]:
        one, other = before["model"], now["model"]
        same = f"the contents of {one['name']} were other ones"
        return same if one["name"] == other["name"] else f"its model was {one['name']} and now is {other['name']}"
    if before["data"] != now["data"]:
        return "its data set had other pictures or labels"
    if before["space"] != now["space"]:
        one, other = (", ".join(each["space"]) for each in (before, now))
        changed = [name for name in before["space"] if before["space"][name] != now["space"].get(name)]
        return (
            f"it looked for {one} and now it would for {other}"
            if one != other
            else f"it looked for {changed[0]} elsewhere"
        )
    for name, value in now["args"].items():
        if (old := before["args"].get(name)) != value:
            return f"its {name} was {old} and now is {value}"
    return ""


def _without_resume(options: Mapping[str, Any]) -> dict[str, Any]:
    """A search always goes on: whether that is asked for makes no difference."""
    resume = str(options.get("resume", "")).lower()
    if resume not in ("", "true", "false", "none"):
        raise OptionError.invalid(
            "resume", options["resume"], "a search goes on by itself when the same command is given again"
        )
    return {name: value for name, value in options.items() if name != "resume"}


def _opened(args: TrainArguments, processes: Any) -> Sets:
    from segkit.core.training.preparing import open_sets

    sets = open_sets(args, processes)
    if sets.val is None:
        raise SourceError(sets.train.source, "a search goes by scores, and no object is labelled in its split 'val'")
    return sets


def _with_optimizer(args: TrainArguments, places: Places, sets: Sets) -> TrainArguments:
    """What optimizer="auto" comes to, where its decisions are searched: it would not follow a rate that is tried."""
    if args.optimizer is not OptimizerName.AUTO or not places.keys() & set(BY_OPTIMIZER):
        return args
    from segkit.core.training.optimizers import choose

    batch = int(args.batch) if args.batch >= 1 else 1
    chosen = choose(args, pictures=len(sets.train), batch=batch, classes=len(sets.train.names))
    values = (chosen.name, chosen.rate, chosen.momentum, chosen.warmup_bias_rate)
    return args.model_copy(update=dict(zip(BY_OPTIMIZER, values, strict=True)))


def _fixed(model: Path, args: TrainArguments, places: Places) -> dict[str, Any]:
    """What the user chose for this training besides; so that what is found is found again with a single file."""
    chosen = args.model_fields_set - FREE - SHORT - places.keys()
    values = args.model_dump(mode="json", include=chosen)
    kept = {name: value for name, value in values.items() if value is not None}
    return {"model": str(model), "data": args.data, **kept}


def _identity(model: Path, args: TrainArguments, places: Places, sets: Sets) -> dict[str, Any]:
    """As plain values that JSON keeps."""
    from segkit.core.training.preparing import digest

    assert sets.val is not None
    return {
        "model": {"name": model.name, "contents": _contents(model)},
        "data": [digest(sets.train), digest(sets.val)],
        "space": {name: list(place) for name, place in places.items()},
        "args": args.model_dump(mode="json", exclude=set(FREE)),
    }


def _contents(model: Path) -> str:
    if not model.is_file():  # an architecture that is built in
        return ""
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
