"""Results one by one, with the number of pictures to come where it is known."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.core.inference.results import Results


PATIENCE = 5.0
"""Seconds that the end of the process waits for a thread that is in the middle of a result."""


class ResultStream(Iterator["Results"]):
    """What `predict(stream=True)` gives: an iterator that holds one batch in memory.

    Threads may share it: each result goes to one of them, and any of them may close it.
    """

    def __init__(self, results: Generator[Results, None, None], total: Callable[[], int | None]) -> None:
        """Wrap `results`; `total` is asked only when somebody wants to know, since it opens videos."""
        self._results = results
        self._total = total
        self._turn = threading.RLock()
        # A lock is not fair: a thread that asks for result after result could keep the one that closes waiting.
        self._closed = False
        # Also at the end of the process, while modules still work: a video that is being written must be finished.
        weakref.finalize(self, _close, results, self._turn)

    @property
    def total(self) -> int | None:
        """Number of pictures of the source, unreadable ones included, or None where only the end will tell; of videos
        it may be an estimate.
        """
        return self._total()

    def __next__(self) -> Results:
        """The next result."""
        with self._turn:
            if self._closed:
                raise StopIteration
            return next(self._results)

    def close(self) -> None:
        """Read no further: what works ahead ends now, and files are finished, not when the object is collected.

        A thread that waits for a result gets that one before.
        """
        self._closed = True
        with self._turn:
            self._results.close()


def _close(results: Generator[Results, None, None], turn: threading.RLock) -> None:
    """At the end of the stream's life, which may be that of the process, with a thread still in the middle of it."""
    if turn.acquire(timeout=PATIENCE):
        try:
            results.close()
        finally:
            turn.release()
