"""Two things at once: a thread works on one element while its reader gets the next one ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def overlapped(
    work: Callable[[T], R], elements: Iterable[T], *, at_once: Callable[[T], bool]
) -> Generator[R, None, None]:
    """What `work` makes of each element, in order. `work` runs on a thread of its own, one element at a time.

    While an element is worked on, the next is fetched here, on the thread that iterates, and whoever iterates is busy
    with the one before: three are alive at most. The first is worked on here, without a thread: it has nobody to wait
    for, and is often the only one.

    An error of `elements` or of `work` is raised in its place, after all that came before it. Closing the iterator, or
    an interrupt, waits for the element that is being worked on and drops the rest.

    Args:
        work: called on another thread than `elements`, but never twice at a time.
        elements: iterated on the thread of the caller.
        at_once: whether an element must not wait for its successor, as a live picture must not.
    """
    waiting: deque[Future[R]] = deque()
    failure: Exception | None = None
    source = iter(elements)
    worker: ThreadPoolExecutor | None = None
    first = True
    try:
        while True:
            try:
                element = next(source)
            except StopIteration:
                break
            except Exception as error:
                failure = error
                break
            if first or at_once(element):
                first = False
                yield from _done(waiting, 0)
                yield work(element)
            else:
                worker = worker or ThreadPoolExecutor(1, thread_name_prefix="segkit-compute")
                waiting.append(worker.submit(work, element))
                yield from _done(waiting, 1)
            del element  # it would live until its successor is there
        yield from _done(waiting, 0)
        if failure is not None:
            raise failure
    finally:
        if worker is not None:
            worker.shutdown(cancel_futures=True)


def _done(waiting: deque[Future[R]], spare: int) -> Iterator[R]:
    """What came of the oldest ones, until `spare` are left."""
    while len(waiting) > spare:
        yield waiting.popleft().result()
