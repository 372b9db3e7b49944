"""What a search shows: a line a trial, and on a terminal below them how far the current one is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segkit.core.notices import notice, silent
from segkit.core.training.screen import Screen
from segkit.core.training.table import GAP, clock, number
from segkit.core.training.tuning.row import SCORES, Row

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun
    from segkit.core.training.tuning.space import Places

OFTEN = 0.1
"""Seconds between two drawings."""

LEAST = 9
"""Characters of a column with the values of an argument, at least."""

STATES = {"pruned": "ended early", "failed": "failed"}


class Teller:
    """Shows a search on standard error, unless segkit is silenced."""

    def __init__(self, places: Places, most: int, opened: Callable[[], Screen | None] = Screen.open) -> None:
        """`most`: trials that there will be."""
        self._places, self._most, self._opened = tuple(places), most, opened
        self._screen: Screen | None = None
        self._number, self._best, self._drawn = 0, "", float("-inf")
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Begin with the titles."""
        self._screen = self._opened()
        if self._screen is not None:
            self._screen.keep(
                (self._line(self._titles(), dict(zip(self._titles(), self._titles(), strict=True))), "bold")
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    @contextmanager
    def hushed(self, number: int) -> Iterator[None]:
        """The training of a trial says nothing itself: of a hundred trials nobody reads every epoch."""
        self._number, self._began = number, time.monotonic()
        self._change(f"trial {number}/{self._most}", at_once=True)
        with silent():
            yield

    def follow(self, run: TrainRun) -> None:
        """After a batch."""
        text = f"trial {self._number}/{self._most}  epoch {run.epoch + 1}/{run.epochs}"
        text += f"  batch {run.batch_number + 1}/{run.batches}  {clock(time.monotonic() - self._began)}"
        self._change(text, at_once=run.batch_number + 1 == run.batches)

    def ended(self, row: Row, best: Row | None) -> None:
        """One more trial."""
        is_best = best is not None and row.number == best.number
        self._best = "" if best is None else f"best so far: {best.fitness:.4f} in trial {best.number}"
        seconds = clock(time.monotonic() - self._began)
        if self._screen is None:
            notice(_sentence(row, self._most, seconds, is_best=is_best))
            return
        cells = {
            "Trial": str(row.number),
            "Fitness": "" if row.fitness is None else f"{row.fitness:.4f}",
            **{title: f"{row.scores[name]:.4f}" for title, name in _SCORES.items() if name in row.scores},
            "Time": seconds,
            "": "best" if is_best else STATES.get(row.state, ""),
            **{name: brief(value) for name, value in row.values.items()},
        }
        style = "bold green" if is_best else "red" if row.state == "failed" else ""
        self._screen.keep((self._line(self._titles(), cells), style))
        if row.error:
            notice(f"trial {row.number} failed: {row.error}")

    def _titles(self) -> list[str]:
        """The columns for which there is room; tune_results.csv has them all."""
        titles = ["Trial", "Fitness", *_SCORES, "Time", "", *self._places]
        room = self._screen.width if self._screen is not None else 0
        while len(titles) > _ALWAYS and len(self._line(titles, {})) > room:
            titles.pop()
        return titles

    def _line(self, titles: Sequence[str], cells: dict[str, str]) -> str:
        return (" " * GAP).join(f"{cells.get(title, ''):>{_width(title, self._most)}}" for title in titles)

    def _change(self, text: str, *, at_once: bool = False) -> None:
        if self._screen is None or (not at_once and time.monotonic() - self._drawn < OFTEN):
            return
        self._drawn = time.monotonic()
        self._screen.change((f"{text}  {self._best}".rstrip(), ""))


_SCORES = dict(zip(("Box mAP", "Mask mAP"), SCORES, strict=True))
_ALWAYS = 2 + len(_SCORES) + 2


def brief(value: Any) -> str:
    """A value in few characters."""
    if not isinstance(value, float):
        return str(value)
    return number(value) if abs(value) >= 0.01 or not value else f"{value:.3g}"


def _width(title: str, most: int) -> int:
    widths = {"Trial": max(len(str(most)), 5), "Fitness": 7, "Time": 8, "": max(map(len, STATES.values()))}
    return widths.get(title, max(len(title), 0 if title in _SCORES else LEAST))


def _sentence(row: Row, most: int, seconds: str, *, is_best: bool) -> str:
    """The same for a log."""
    values = ", ".join(f"{name} {brief(value)}" for name, value in row.values.items())
    if row.state == "failed":
        return f"trial {row.number}/{most} failed: {row.error} ({values})"
    score = "" if row.fitness is None else f"{row.fitness:.4f}"
    rest = ", the best so far" if is_best else f", {STATES[row.state]}" if row.state in STATES else ""
    return f"trial {row.number}/{most}: fitness {score}{rest}; {seconds}; {values}"
