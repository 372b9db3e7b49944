"""The body of a worker process: `python -m segkit.core.data.loading.worker PID`, of its parent. It loads no torch."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.pictures import NONE
from segkit.core.data.loading.making import Made, Maker
from segkit.core.data.loading.process import Failure, Setup, doing
from segkit.core.data.order import Share
from segkit.core.errors import SegkitError

_LOOK = 1.0
"""Seconds after which it looks again whether its parent is there."""


def main() -> None:
    """Answer until there are no more questions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":  # where a process keeps its parent's number when that has gone
        threading.Thread(target=_end_without, args=[int(sys.argv[1])], daemon=True).start()
    answers, questions = _claim_stdout(), sys.stdin.buffer
    import cv2

    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent has gone, or needs no more
        sys.path[:] = pickle.load(questions)
        setup: Setup = pickle.load(questions)
        maker, notes = Maker(setup.samples), setup.notes()
        setup.samples.pictures.reading = _noting(notes, 1)
        while True:
            share, slot = pickle.load(questions)
            notes[:] = NONE
            pickle.dump(_answer(maker, share, setup.slots.memory(slot), notes), answers)
            answers.flush()
    os._exit(0)  # nothing is left to be written


def _answer(maker: Maker, share: Share, memory: NDArray[np.uint8], notes: NDArray[np.int64]) -> Made | Failure:
    try:
        return maker.make(share, memory, _noting(notes, 0))
    except SegkitError as error:
        fields = {name: value for name, value in vars(error).items() if isinstance(value, str | int | Path)}
        return Failure(type(error).__name__, str(error), fields, "")
    except Exception as error:
        return Failure("", f"{type(error).__name__}: {error}", {}, traceback.format_exc(), doing(notes))


def _noting(notes: NDArray[np.int64], place: int) -> Callable[[int], None]:
    def note(index: int) -> None:
        notes[place] = index

    return note


def _end_without(parent: int) -> None:
    """The pipe tells it sooner, but not while a picture of a network drive does not come, nor where a process that the
    parent has forked has inherited it.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(0)


def _claim_stdout() -> IO[bytes]:
    """Keep the pipe for answers: whatever prints from now on, C libraries included, prints to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
