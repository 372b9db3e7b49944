"""Results one by one, with the number of pictures to come where it is known."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.core.inference.results import Results


class ResultStream(Iterator["Results"]):
    """What `predict(stream=True)` gives: an iterator that holds one batch in memory.

    `total` is the number of pictures of the source, unreadable ones included, or None where only the end will tell.
    """

    def __init__(self, results: Generator[Results, None, None], total: int | None) -> None:
        """Wrap `results`."""
        self._results = results
        self.total = total

    def __next__(self) -> Results:
        """The next result."""
        return next(self._results)

    def close(self) -> None:
        """Read no further: what works ahead ends now, not when the object is collected."""
        self._results.close()
