"""A training in several processes of this machine, started here by PyTorch's own launcher."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.cores import physical
from segkit.core.errors import SegkitError, TrainingError, revived
from segkit.core.notices import notice
from segkit.core.training.processes import LostError
from segkit.core.training.request import Request, Trained

if TYPE_CHECKING:
    from segkit.core.training.events import Callback

JOB, DONE, ERROR = "job.json", "done.pickle", "error-{}.json"


def launch(request: Request, count: int, callbacks: Mapping[str, Sequence[Callback]]) -> Trained:
    """Run a training in `count` processes and wait for it.

    Raises:
        SegkitError: what one of them said, or that one of them died.
        KeyboardInterrupt: it was interrupted.
    """
    if any(callbacks.values()):
        notice(
            "functions of a script cannot be called in other processes: start the script itself with "
            f"torchrun --nproc-per-node {count}, and they are called"
        )
    with tempfile.TemporaryDirectory(prefix="segkit-training-") as place:
        folder = Path(place)
        (folder / JOB).write_text(json.dumps(_job(request)), encoding="utf-8")
        with _environment(count):
            _run(folder, count)
        results, trained = pickle.loads((folder / DONE).read_bytes())
        return Trained(results, Path(trained), request.args.data)


def _job(request: Request) -> dict[str, Any]:
    return {
        "model": str(request.model),  # a file, or the name of an architecture; the working folder is the same
        "args": request.args.model_dump(mode="json"),
        "checkpoint": str(request.checkpoint.absolute()) if request.checkpoint else None,
    }


def _run(folder: Path, count: int) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        with _handlers_kept(), _hushed():
            elastic_launch(config, sys.executable)("-m", "segkit.core.training.worker", str(folder))
    except ChildFailedError as error:
        raise _reason(folder, error.failures) from None
    except SignalException:
        raise KeyboardInterrupt from None


def _reason(folder: Path, failures: Mapping[int, Any]) -> SegkitError:
    """What a process said, or how one ended without a word. Once one has ended the others are told to stop, which is an
    interruption to them, and counts only where nothing else happened.

    Raises:
        KeyboardInterrupt: they were interrupted, and that is all.
    """
    told = {rank: folder / ERROR.format(rank) for rank in sorted(failures)}
    said = {rank: json.loads(path.read_text(encoding="utf-8")) for rank, path in told.items() if path.exists()}
    dead = {rank: failure for rank, failure in failures.items() if _is_cause(failure.exitcode, said.get(rank))}
    killed = {rank: failure for rank, failure in dead.items() if failure.exitcode < 0}
    if not killed:
        no_causes = (KeyboardInterrupt.__name__, LostError.__name__)
        errors = [each for each in said.values() if each["kind"] not in no_causes]
        if errors:
            return revived(errors[0]["kind"], errors[0]["message"])
        if said and not dead:
            raise KeyboardInterrupt
    rank, failure = min((killed or dead or failures).items(), key=lambda each: each[1].timestamp)
    return TrainingError(
        f"process {rank} of the training {_end(failure.exitcode)}",
        "The others were stopped. Go on with resume=True and the run's weights/last.pt.",
    )


_STOPPED = (-signal.SIGTERM, -signal.SIGINT)


def _is_cause(code: int, said: Mapping[str, str] | None) -> bool:
    """Whether a process ended of itself and without a word: neither stopped with the others nor for want of them."""
    return code not in _STOPPED and said is None


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """The launcher watches signals and leaves its handlers behind."""
    watched = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in watched}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """The launcher logs what it does to processes; what there is to say about them, we say."""
    logger = logging.getLogger("torch.distributed.elastic")
    parts = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith(f"{logger.name}.")]
    levels = {each: each.level for each in (logger, *parts)}
    for each in levels:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in levels.items():
            each.setLevel(level)


@contextlib.contextmanager
def _environment(count: int) -> Iterator[None]:
    """Processes share the cores: each is told its part, unless the user has decided."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(physical() // count, 1)))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
