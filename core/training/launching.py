"""A training in several processes of this machine, started here by PyTorch's own launcher."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.cores import physical
from segkit.core.errors import SegkitError, TrainingError, revived
from segkit.core.notices import notice
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
        "model": str(request.model.absolute()),
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
    said = [json.loads(path.read_text(encoding="utf-8")) for path in told.values() if path.exists()]
    errors = [each for each in said if each["kind"] != KeyboardInterrupt.__name__]
    if errors:
        return revived(errors[0]["kind"], errors[0]["message"])
    silent = {rank: failure for rank, failure in failures.items() if not told[rank].exists()}
    dead = {rank: failure for rank, failure in silent.items() if failure.exitcode not in _STOPPED}
    if said and not dead:
        raise KeyboardInterrupt
    rank, failure = min((dead or silent).items(), key=lambda each: each[1].timestamp)
    return TrainingError(
        f"process {rank} of the training {_end(failure.exitcode)}",
        "The others were stopped. Go on with resume=True and the run's weights/last.pt.",
    )


_STOPPED = (-signal.SIGTERM, -signal.SIGINT)


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


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
