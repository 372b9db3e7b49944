"""Two things at once: threads work on some elements while their reader gets the next one ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def overlapped(
    work: Callable[[T], R], elements: Iterable[T], *, at_once: Callable[[T], bool], lanes: int = 1
) -> Generator[R, None, None]:
    """What `work` makes of each element, in order. `work` runs on threads of its own, on `lanes` elements at a time.

    While elements are worked on, the next is fetched here, on the thread that iterates, and whoever iterates is busy
    with one that is finished: two more than there are lanes are alive at most, three more with several lanes. With one
    lane the first is worked on here, without a thread: it has nobody to wait for, and is often the only one.

    An error of `elements` or of `work` is raised in its place, after all that came before it. Closing the iterator, or
    an interrupt, waits for the element that is being worked on and drops the rest.

    Args:
        work: called on other threads than `elements`.
        elements: iterated on the thread of the caller.
        at_once: whether an element must not wait for its successor, as a live picture must not.
        lanes: how many elements to work on at a time.
    """
    waiting: deque[Future[R]] = deque()
    finished: deque[R] = deque()
    failure: Exception | None = None
    source = iter(elements)
    worker: ThreadPoolExecutor | None = None
    first = lanes == 1
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
                yield from _taken(finished)
                yield from _done(waiting, 0)
                yield work(element)
            else:
                worker = worker or ThreadPoolExecutor(lanes, thread_name_prefix="segkit-compute")
                waiting.append(worker.submit(work, element))
                if lanes == 1:
                    yield from _done(waiting, lanes)
                else:  # whoever gets a finished one is busy for a while, and lanes that end together must not run empty
                    yield from _taken(finished)
                    finished.extend(_done(waiting, lanes))
            del element  # it would live until its successor is there
        yield from _taken(finished)
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


def _taken(finished: deque[R]) -> Iterator[R]:
    """All of them, of which none is kept."""
    while finished:
        yield finished.popleft()
