"""The sessions of one model: what is loaded once, and shared by every thread that predicts with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.core.inference.session import Session


class Sessions:
    """Open sessions by what they were opened with. A copy of a model, or one in another process, opens its own."""

    def __init__(self) -> None:
        """None is open."""
        self.lock = threading.RLock()
        """Held while a file is written or loaded, so that threads that come at the same time do it once."""
        self._open: dict[Hashable, Session] = {}

    def get(self, key: Hashable, start: Callable[[], Session]) -> Session:
        """The session of `key`: open, or started by the first to ask while the others wait."""
        session = self._open.get(key)
        if session is None:
            with self.lock:
                session = self._open.get(key)
                if session is None:
                    session = self._open[key] = start()
        return session

    def clear(self) -> None:
        """Forget all; who works with one goes on with it."""
        with self.lock:
            self._open = {}

    def __reduce__(self) -> tuple[type[Sessions], tuple[()]]:
        """Copied and pickled as none."""
        return Sessions, ()
