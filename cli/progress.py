"""How far a run is: a bar below the lines of a terminal, from the second item on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Counter:
    """Counts what is done. Without a terminal it does nothing."""

    live = False
    """Whether something is drawn on the terminal."""

    def advance(self, unit: str) -> None:
        """One more is done; `unit` is what such items are called, many of them."""

    def stop(self) -> None:
        """Take the bar away."""


class Bar(Counter):
    """On a terminal: done of all, items a second, and the time left; the time taken where the end is not known."""

    def __init__(self, console: Console, total: Callable[[], int | None], *, redirect_stderr: bool) -> None:
        """Nothing is drawn yet; `total` is asked when it is. `redirect_stderr`: standard error is a terminal too."""
        self._console, self._total, self._redirect = console, total, redirect_stderr
        self._progress: Progress | None = None
        self._done = 0

    def advance(self, unit: str) -> None:
        """Draw, from the second item on."""
        self._done += 1
        if self._progress is None:
            if self._done > 1:
                self._progress = self._begin(unit)
            return
        task = self._progress.tasks[0]
        if task.total is not None and self._done > task.total:  # it was an estimate
            self._progress.update(task.id, total=None)
        self._progress.update(task.id, completed=self._done)
        if task.speed:  # it is not known at once
            self._progress.update(task.id, rate=f"{task.speed:.1f} {unit}/s")

    def _begin(self, unit: str) -> Progress:
        from rich import progress as rich

        total = self._total()
        rate = rich.TextColumn("{task.fields[rate]}")
        time = rich.TimeElapsedColumn() if total is None else rich.TimeRemainingColumn()
        progress = rich.Progress(
            *(rich.MofNCompleteColumn(), rich.BarColumn(), rate, time),
            console=self._console,
            transient=True,
            redirect_stderr=self._redirect,
        )
        progress.add_task(unit, total=total, completed=self._done, rate="")
        progress.start()
        self.live = True
        return progress

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
        self.live = False
