"""Batches in their order from several who make them ahead: worker processes, or this process itself.

Each maker has a thread here that gives it work and takes what it made. The next batch goes to whoever has time; what
comes too early waits for its turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from segkit.core.data.loading.making import Made, Maker, Slots
from segkit.core.data.order import Share

Batch = TypeVar("Batch")

AHEAD = 2
"""Batches that each maker is ahead of the one that is used."""

HELD = 3
"""Batches that may be in use at a time without their memory being copied."""

_AGAIN = 0.05
"""Seconds after which a thread looks for a slot again that somebody is about to free."""


class Hand(Protocol):
    """Somebody who makes batches, one after another."""

    @property
    def pending(self) -> int:
        """How many it was asked for and may still make."""

    def give(self, share: Share, slot: int) -> None:
        """Ask for a batch to be made in a slot."""

    def take(self) -> Made:
        """The batch that was asked for first."""

    def end(self) -> None:
        """Stop, whatever it is doing."""


class _Task(NamedTuple):
    """A batch to be made: its place in the stream, and which stream that is."""

    stream: int
    place: int
    share: Share
    slot: int


def slots(hands: int) -> int:
    """How many slots a pool of so many makers has."""
    return AHEAD * hands + HELD


class Pool(Generic[Batch]):
    """Makes a stream of batches ahead of its use. One thread uses it."""

    def __init__(self, hands: Sequence[Hand], finish: Callable[[Made, int, Callable[[], None]], Batch]) -> None:
        """Take those who make batches, and what makes something of each.

        That is given the batch, the number of its slot, and what to call, from any thread, once nobody uses the slot.
        """
        self._hands, self._finish = hands, finish
        # The slot that was used last is taken first: it is in the processor's cache. A deque needs no lock, which
        # whoever gives a slot back, the garbage collector at times, might hold already.
        self._free = deque(range(slots(len(hands))))
        self._changed = threading.Condition()
        self._shares: Iterator[Share] | None = None
        self._stream = self._given = self._taken = 0
        self._results: dict[int, Batch | BaseException] = {}
        self._closed = False
        self._threads: list[threading.Thread] = []

    def begin(self, shares: Iterator[Share]) -> None:
        """Make these batches from now on; what is left of others is dropped."""
        with self._changed:
            self._drop()
            self._shares = shares
            self._changed.notify_all()
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._serve, args=[hand], daemon=True, name="segkit-loader")
                for hand in self._hands
            ]
            for thread in self._threads:
                thread.start()

    def next(self) -> tuple[Batch, bool] | None:
        """The next batch of the stream, and whether it may stay in its slot while it is used; None after the last.

        Raises:
            SegkitError: it cannot be made; the stream ends.
        """
        with self._changed:
            while self._taken not in self._results:
                if self._shares is None and self._taken == self._given:
                    return None
                self._changed.wait()
            result = self._results.pop(self._taken)
            self._taken += 1
            if isinstance(result, BaseException):
                self._drop()
            used = slots(len(self._hands)) - len(self._free) - (self._given - self._taken)
            self._changed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result, used <= HELD

    def close(self) -> None:
        """End all who make batches. Nothing comes of it any more."""
        with self._changed:
            self._drop()
            self._closed = True
            self._changed.notify_all()
        for hand in self._hands:
            hand.end()
        if threading.current_thread() not in self._threads:  # the garbage collector may run in any
            for thread in self._threads:
                thread.join()

    def _drop(self) -> None:
        self._shares = None
        self._stream += 1
        self._given = self._taken = 0
        self._results.clear()  # batches that nobody has give their slots back

    def _serve(self, hand: Hand) -> None:
        """Keep one maker busy: with one batch in its hands, and the next one before it."""
        tasks: deque[_Task] = deque()
        while not self._closed:
            while len(tasks) < AHEAD and (task := self._task(wait=not tasks)):
                tasks.append(task)
                try:
                    hand.give(task.share, task.slot)
                except BaseException as error:
                    self._failed(tasks, hand, error)
            # Looked at once more: one that started after whoever closes this had ended it answers when it likes.
            if tasks and not self._closed:
                try:
                    made = hand.take()
                except BaseException as error:
                    self._failed(tasks, hand, error)
                else:
                    self._made(tasks.popleft(), made)
        hand.end()  # the other one may have come while this one was starting

    def _task(self, *, wait: bool) -> _Task | None:
        """The next batch to be made, if there is one now, or, with `wait`, once there is one."""
        with self._changed:
            while not self._closed:
                wanted = self._shares is not None and self._given - self._taken < AHEAD * len(self._hands)
                if wanted and (task := self._next_task()):
                    return task
                if not wait:
                    return None
                self._changed.wait(_AGAIN if wanted and self._shares is not None else None)
        return None

    def _next_task(self) -> _Task | None:
        assert self._shares is not None
        try:
            slot = self._free.pop()
        except IndexError:  # some are still with batches of another stream
            return None
        share = next(self._shares, None)
        if share is None:
            self._free.append(slot)
            self._shares = None
            self._changed.notify_all()
            return None
        self._given += 1
        return _Task(self._stream, self._given - 1, share, slot)

    def _failed(self, tasks: deque[_Task], hand: Hand, error: BaseException) -> None:
        """What the maker cannot make any more has failed."""
        while len(tasks) > hand.pending:
            task = tasks.popleft()
            self._free.append(task.slot)
            self._deliver(task, error)

    def _made(self, task: _Task, made: Made) -> None:
        if task.stream != self._stream:
            self._free.append(task.slot)
            return
        try:
            result: Batch | BaseException = self._finish(made, task.slot, partial(self._free.append, task.slot))
        except BaseException as error:
            result = error
        self._deliver(task, result)

    def _deliver(self, task: _Task, result: Batch | BaseException) -> None:
        with self._changed:
            if task.stream == self._stream:
                self._results[task.place] = result
            self._changed.notify_all()


class Here:
    """Makes batches in this process."""

    def __init__(self, maker: Maker, slots: Slots) -> None:
        """Take what makes batches, and where."""
        self._maker, self._slots = maker, slots
        self._asked: deque[tuple[Share, int]] = deque()

    @property
    def pending(self) -> int:
        """How many it was asked for and has not begun."""
        return len(self._asked)

    def give(self, share: Share, slot: int) -> None:
        """Ask for a batch to be made in a slot."""
        self._asked.append((share, slot))

    def take(self) -> Made:
        """Make the batch that was asked for first."""
        share, slot = self._asked.popleft()
        return self._maker.make(share, self._slots.memory(slot), lambda index: None)

    def end(self) -> None:
        """Nothing to end."""
