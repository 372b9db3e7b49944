"""Switches of the whole process that several threads want turned at the same time. Standard library only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Held:
    """Turned by the first who holds it, turned back when the last has left; a holder may hold it again."""

    def __init__(self, turn: Callable[[], Callable[[], object]]) -> None:
        """`turn` turns it, and gives what turns it back."""
        self._turn = turn
        self._lock = threading.Lock()
        self._holders = 0
        self._back: Callable[[], object] = turn

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Turned inside the block."""
        with self._lock:
            if not self._holders:
                self._back = self._turn()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._back()
