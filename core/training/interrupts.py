"""Ctrl-C and its kin, held back while weights are half changed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

WATCHED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def _is_nohup(number: int) -> bool:
    """Whether the closing of the terminal is meant to be missed."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN


class Torn(KeyboardInterrupt):
    """An interruption in the midst of something: what was half changed is not to be saved."""


class Interrupts:
    """Makes Ctrl-C and a request to end a KeyboardInterrupt as soon as everything is whole; the second does not wait.

    It works in the main thread, while it is entered.
    """

    def __init__(self) -> None:
        """Nothing is changed yet."""
        self._before: dict[int, Any] = {}
        self._held = False
        self._asked = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A block that is not to be left half-way."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            self._asked = 0
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        """Watch; outside of the main thread signals cannot be, and nothing is done."""
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in WATCHED if not _is_nohup(number)]
            self._before = {number: signal.signal(number, self._heard) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: one that was not set from Python
        self._before = {}

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        if self._held and self._asked == 1:
            return
        self._asked = 0
        raise Torn if self._held else KeyboardInterrupt
