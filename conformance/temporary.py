"""A folder for as long as a run takes, gone whichever way the run ends."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from segkit.core.files import output_error

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each attempt to remove a folder: what a child that was killed had started may still write into it."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder, removed with all that is in it, also where the process is told to end meanwhile.

    Raises:
        OutputError: there is no place for it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        place = Path(error.filename).parent if error.filename else "the temporary folder (TMPDIR)"
        raise output_error(place, error) from error
    try:
        yield folder.resolve()
    finally:
        with undisturbed():
            _remove(folder)


def _remove(folder: Path) -> None:
    for pause in PAUSES:
        time.sleep(pause)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


@contextmanager
def undisturbed() -> Iterator[None]:
    """A block that Ctrl-C and requests to end do not leave half-way: they are heard when it is done.

    Outside of the main thread nothing is done: signals are heard there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    # None: one that was not set from Python; ignored ones stay ignored.
    before = {number: signal.getsignal(number) for number in ENDING}
    watched = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in watched:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in watched.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])
