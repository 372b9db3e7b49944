"""How much memory something takes at its peak. Standard library only: the peer's environment uses it too."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class Memory:
    """Watches the memory of this process from a thread; afterwards `peak` is in megabytes above the start. Linux."""

    def __enter__(self) -> Self:
        """Start to watch."""
        self._start = self.peak = self._now()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._end.set()
        self._thread.join()
        self.peak = max(self.peak, self._now()) - self._start

    def _watch(self) -> None:
        while not self._end.wait(0.002):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
