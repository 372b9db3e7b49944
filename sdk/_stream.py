"""Results one by one, with the number of pictures to come where it is known."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.core.inference.results import Results


class ResultStream(Iterator["Results"]):
    """What `predict(stream=True)` gives: an iterator that holds one batch in memory."""

    def __init__(self, results: Generator[Results, None, None], total: Callable[[], int | None]) -> None:
        """Wrap `results`; `total` is asked only when somebody wants to know, since it opens videos."""
        self._results = results
        self._total = total
        # Also at the end of the process, while modules still work: a video that is being written must be finished.
        weakref.finalize(self, results.close)

    @property
    def total(self) -> int | None:
        """Number of pictures of the source, unreadable ones included, or None where only the end will tell; of videos
        it may be an estimate.
        """
        return self._total()

    def __next__(self) -> Results:
        """The next result."""
        return next(self._results)

    def close(self) -> None:
        """Read no further: what works ahead ends now, and files are finished, not when the object is collected."""
        self._results.close()
