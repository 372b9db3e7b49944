"""Threads of our own for the large operations.

Those of a BLAS library wait for each other in loops after every product: on cores that others use too, two of them were
measured fifteen times slower than one. So products run on one thread each, and several of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from segkit.core.cores import physical
from segkit.core.held import Held

T = TypeVar("T")

_BLAS = ThreadpoolController()


def _alone() -> Callable[[], object]:
    back: Callable[[], object] = _BLAS.limit(limits=1, user_api="blas").restore_original_limits
    return back


alone = Held(_alone)
"""Products of the whole process run on one thread each while somebody holds this; then they are as they were."""


class Crew:
    """Some threads, started when there is work for them."""

    def __init__(self, threads: int | None) -> None:
        """As many as the process has cores, unless told otherwise."""
        count = threads or physical()
        self._pool = ThreadPoolExecutor(count, "coreml") if count > 1 else None

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """Call `work` with every item, in any order; the first error is raised."""
        if self._pool is None:
            for item in items:
                work(item)
        else:
            for _ in self._pool.map(work, items):
                pass

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
