"""A worker process as its parent sees it.

A plain interpreter, neither forked nor spawned by multiprocessing: it starts in the same way on every system, scripts
and notebooks need no main guard, and threads that this process has (torch's, OpenMP's, CUDA's) cannot be left halfway
in it. It ends with its parent, however that goes: with the pipe between them, or, where it waits for something else, a
moment later. Ctrl-C is its parent's affair.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.pictures import NONE
from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.loading.making import Made, Slots
from segkit.core.data.loading.shared import Block
from segkit.core.data.order import Share
from segkit.core.errors import SegkitError, TrainingError, revived

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # glibc would give the memory of every other array back to the system at once, and ask for it again.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}

_MODULE = "segkit.core.data.loading.worker"

NOTED = 16
"""Bytes in which a worker notes what it does."""

_GRACE = 3.0
"""Seconds in which a process that has closed its pipe has ended."""


class Setup(NamedTuple):
    """What a worker is told once.

    Attributes:
        samples: makes the samples.
        slots: where it makes batches.
        doing: `NOTED` bytes for every worker: (2,) int64, the sample that it makes and the picture that it reads.
        number: of the worker.
    """

    samples: TrainingSamples
    slots: Slots
    doing: Block
    number: int

    def notes(self) -> NDArray[np.int64]:
        """Where the worker notes what it does."""
        return self.doing.array(np.int64, (2,), self.number * NOTED)


class Failure(NamedTuple):
    """What a worker says where it could not make a batch: the error's class, message and fields, or, of an error of its
    own, the trace and the number of the picture that it was at.
    """

    kind: str
    message: str
    fields: dict[str, Any]
    trace: str
    picture: int = NONE


class WorkerProcess:
    """A worker. It starts when it is first given something, and again if it has died since.

    Attributes:
        pending: batches that it was asked for and may still make.
    """

    def __init__(self, setup: Setup, handles: tuple[int, ...]) -> None:
        """Take what it is told, and the descriptors that it inherits."""
        self._setup, self._handles = setup, handles
        self._notes = setup.notes()
        self.pending = 0
        self._process: subprocess.Popen[bytes] | None = None

    def give(self, share: Share, slot: int) -> None:
        """Ask for a batch.

        Raises:
            TrainingError: it has died.
        """
        if self._process is None:
            self._start()
        self._tell((share, slot))
        self.pending += 1

    def take(self) -> Made:
        """The batch that was asked for first.

        Raises:
            SegkitError: it cannot be made, or the worker has died.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            said = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError, OSError, ValueError):
            raise self._died() from None
        except BaseException:  # no room for it, say: what else the worker has to tell cannot be understood any more
            self.end()
            raise
        self.pending -= 1
        if isinstance(said, Failure):
            raise _revived(said, self._path(said.picture))
        assert isinstance(said, Made)
        return said

    def end(self) -> None:
        """Kill the process, if there is one: there is nothing that it could lose."""
        process, self.pending = self._process, 0
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None

    def _start(self) -> None:
        self._notes[:] = NONE
        options: dict[str, Any] = {"start_new_session": True, "pass_fds": self._handles}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_ENVIRONMENT | os.environ | {name: "1" for name in _ENVIRONMENT if name.endswith("_NUM_THREADS")},
            **options,
        )
        self._tell(sys.path)
        self._tell(self._setup)

    def _tell(self, something: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            pickle.dump(something, self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _doing(self) -> Path | None:
        """The picture that it read last, or else that of the sample it made."""
        return self._path(doing(self._notes))

    def _path(self, index: int) -> Path | None:
        return self._setup.samples.pictures.labelled.path(index) if index != NONE else None

    def _died(self) -> TrainingError:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        code, picture, reads = self._process.poll(), self._doing(), self._notes[1] != NONE
        self.end()
        what = f" while it {'read' if reads else 'made a sample of'} '{picture}'" if picture else ""
        return TrainingError(f"a worker process {_end_of(code)}{what}", _advice(code, picture))


def doing(notes: NDArray[np.int64]) -> int:
    """Number of the picture that a worker reads, or else of the sample that it makes."""
    sample, picture = notes.tolist()
    return int(picture if picture != NONE else sample)


def _end_of(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _advice(code: int | None, picture: Path | None) -> str:
    if sys.platform != "win32" and code == -signal.SIGKILL:
        return "A system without memory does that: give fewer workers, a smaller batch, or no cache=ram."
    return "Take that picture out, or give workers=0 to see more." if picture else "Give workers=0 to see more."


def _revived(failure: Failure, picture: Path | None) -> SegkitError:
    if failure.kind:
        error = revived(failure.kind, failure.message)
        error.__dict__.update(failure.fields)
        return error
    of = f" of '{picture}'" if picture else ""
    other = TrainingError(f"a worker could not make a sample{of}: {failure.message}")
    other.__cause__ = RuntimeError(failure.trace)
    return other
