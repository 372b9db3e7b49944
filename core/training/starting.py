"""From what a user asked for to a run: new or resumed, in this process or in several."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.backend.options import validate
from segkit.core.errors import ModelFileError, OptionError, SegkitError
from segkit.core.files import expanded
from segkit.core.inference.output import PROJECT, made_run_folder
from segkit.core.notices import notice, silent
from segkit.core.training.arguments import NOT_SAVED, TAKEN_UP, TrainArguments, read_settings
from segkit.core.training.request import WEIGHTS, Request, Trained

if TYPE_CHECKING:
    from segkit.core.training.events import Callback
    from segkit.core.training.processes import Processes

CHANGEABLE = frozenset(
    {"device", "workers", "cache", "plots", "patience", "save_period", "loggers", "verbose", "profile", "time", "val"}
)
"""Arguments that may be other ones when a run is resumed."""


def asked(model: Path, options: Mapping[str, Any], data: str | None = None) -> Request:
    """What a user asked for.

    Args:
        model: an architecture (.yaml) or weights.
        options: see `TrainArguments`; also `cfg`, a file with some of them.
        data: the data set that the model remembers, if it does.

    Raises:
        OptionError: an unknown option, a wrong value, or one that a resumed run cannot take.
        SourceError: `cfg` cannot be read.
        ModelFileError: what is to be resumed is no checkpoint of an interrupted run.
    """
    given = dict(options)
    cfg = given.pop("cfg", None)
    settings: dict[str, Any] = {}
    if cfg is not None:
        if not isinstance(cfg, str | os.PathLike):
            raise OptionError.invalid("cfg", cfg, "give the path of a settings file; options go beside it")
        settings, left_out = read_settings(os.fspath(cfg))
        left_out = [name for name in left_out if name not in TAKEN_UP]
        if left_out:
            notice(f"{cfg}: not for training, and left out: {', '.join(left_out)}")
    args = validate(TrainArguments, settings | given, "train")
    args = args.model_copy(update={"data": _absolute(args.data)})
    if args.resume:
        return _resumed(_checkpoint(args.resume) if isinstance(args.resume, str) else model, args, given)
    if args.data is None and data is not None:
        notice(f"data={data}: that is what the model remembers")
        args = args.model_copy(update={"data": _absolute(data)})
    return Request(model, args)


def _checkpoint(given: str) -> Path:
    """The file to go on from: itself, or the latest of a run's folder."""
    path = expanded(given)
    return path / WEIGHTS / "last.pt" if (path / WEIGHTS).is_dir() else path


def _absolute(data: str | None) -> str | None:
    """A data set that is a file or a folder by its whole path: a run may be resumed from anywhere."""
    if data is None or not expanded(data).exists():
        return data
    return os.path.abspath(expanded(data))  # noqa: PTH100 - never raises


def _resumed(path: Path, args: TrainArguments, given: Mapping[str, Any]) -> Request:
    from segkit.core.training.checkpoint import load_state

    state = load_state(path)
    if path.absolute().parent.name != WEIGHTS:
        raise ModelFileError(path, f"a run is resumed in its own folder, from RUN/{WEIGHTS}/last.pt")
    before = validate(TrainArguments, state.args, f"the run of {path}")
    for name in given.keys() - CHANGEABLE - NOT_SAVED - {"model"}:
        if getattr(args, name) != getattr(before, name):
            raise OptionError(
                f"Option {name} belongs to the run that is resumed, where it is {getattr(before, name)}; "
                f"only these can be other ones: {', '.join(sorted(CHANGEABLE))}."
            )
    changed = {name: getattr(args, name) for name in given.keys() & CHANGEABLE}
    return Request(path, before.model_copy(update=changed), path)


def train(request: Request, callbacks: Mapping[str, Sequence[Callback]] | None = None) -> Trained:
    """Run it: in this process, as one of those that torchrun started, or in as many new ones as there are devices.

    Raises:
        SegkitError: see `Trainer.train`.
        KeyboardInterrupt: it was interrupted.
    """
    from segkit.core.training.processes import LostError, is_lost, joined, several

    devices = request.args.device
    if devices is not None and len(devices) > 1 and not several():
        from segkit.core.model.devices import resolve
        from segkit.core.training.launching import launch

        for device in devices:  # before anything is started for it
            resolve(device)
        return launch(request, len(devices), callbacks or {})
    processes = joined(devices)
    try:
        with contextlib.nullcontext() if processes.first else silent():
            trained = _run(request, processes, callbacks or {})
    except Exception as error:
        if processes.world > 1 and not isinstance(error, SegkitError) and is_lost(error):
            first = (str(error).splitlines() or [""])[0][:200]
            advice = "If one of them ended, the reason is in its words."
            raise LostError(f"process {processes.rank} lost the others ({first})", advice) from error
        raise
    processes.leave()  # not after an error: NCCL would wait here for the others, which wait for this one
    return trained


def _run(request: Request, processes: Processes, callbacks: Mapping[str, Sequence[Callback]]) -> Trained:
    from segkit.core.training.callbacks import Callbacks
    from segkit.core.training.trainer import Trainer

    args = request.args
    with ExitStack() as opening:
        folder = opening.enter_context(_folder(request)) if processes.first else None
        folder = Path(processes.told(folder))
        told = Callbacks(callbacks, args) if processes.first else Callbacks.silent()
        results = Trainer(request.model, args, folder, processes, told, request.checkpoint).train()
    return Trained(results, folder, args.data)


def _folder(request: Request) -> Any:
    """The folder of the run, as a context that takes it away again where it stays empty."""
    if request.checkpoint is not None:
        home = request.checkpoint.resolve().parent.parent
        return made_run_folder(home.parent, home.name, exist_ok=True)
    args = request.args
    return made_run_folder(args.project or PROJECT, args.name or "train", exist_ok=args.exist_ok)
