"""What a training shows: a table whose last line is the current epoch; without a terminal, a line an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from segkit.core.notices import notice, shown_by, visible
from segkit.core.training import table
from segkit.core.training.events import hookimpl
from segkit.core.training.pace import Pace
from segkit.core.training.screen import Screen

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun
    from segkit.core.training.table import Column, Part

OFTEN = 0.1
"""Seconds between two drawings of the current epoch: more would be seen by nobody."""

SHORTEST, LONGEST = 10, 30
"""Characters of the bar."""


class _Task(NamedTuple):
    """What is done besides training: a validation, a download."""

    text: str
    done: int = 0
    total: int | None = None


class Display:
    """Shows a training on standard error, unless segkit is silenced. It ends with the run, however that ends."""

    title = "The table of the training"

    def __init__(
        self, opened: Callable[[], Screen | None] = Screen.open, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is shown yet. `opened` gives the terminal, or None where there is none; `now` is a clock."""
        self._opened, self._now = opened, now
        self._screen: Screen | None = None
        self._open = ExitStack()
        self._is_begun = False
        self._pace = Pace(now)
        self._columns: tuple[Column, ...] = ()
        self._task: _Task | None = None
        self._run: TrainRun | None = None
        self._drawn = float("-inf")

    # -- moments of a training ----------------------------------------------------------------------------------

    @hookimpl
    def segkit_train_epoch_start(self, run: TrainRun) -> None:
        """Begin with the first one: until then others show what they do, and may ask."""
        self._begin()
        self._pace.begin_epoch(run)
        self._run, self._task = run, None
        self._draw(at_once=True)

    @hookimpl
    def segkit_train_batch_end(self, run: TrainRun) -> None:
        """One more batch."""
        self._pace.count(len(run.batch.images) if run.batch is not None else 0)
        self._draw(at_once=run.batch_number + 1 == run.batches)

    @hookimpl
    def segkit_train_epoch_end(self, run: TrainRun) -> None:
        """What comes next takes its time."""
        if _is_scored(run):
            self._task = _Task("validating")
            self._draw(at_once=True)

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """The line that stays."""
        record = run.record
        if record is None:
            return
        before = [each.seconds for each in run.history if each.epoch < record.epoch]
        seconds = record.seconds - (before[-1] if before else 0.0)
        self._run = None
        if self._screen is None:
            notice(table.sentence(record, seconds))
            return
        cells = table.record_cells(record, seconds)
        text = table.line(self._fitting(run, self._screen), cells)
        place = len(text) - len(table.BEST)
        self._task = _Task("validating the best weights") if record.epoch >= run.epochs and _is_scored(run) else None
        self._draw(at_once=True)
        self._screen.keep((text[:place], ""), (text[place:], "bold green"))

    @hookimpl
    def segkit_model_save(self, run: TrainRun) -> None:
        """Whether that was the last epoch may be known only now."""
        if run.stop and _is_scored(run):
            self._task = _Task("validating the best weights")
            self._draw(at_once=True)

    @hookimpl
    def segkit_train_end(self, run: TrainRun) -> None:
        """It is done."""
        self._end()

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        """It is, in whatever way."""
        self._end()

    # -- the terminal -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._is_begun:
            return
        self._is_begun = True
        self._screen = self._opened()
        if self._screen is not None:
            self._open.callback(self._screen.close)
            self._open.enter_context(shown_by(self._show))

    def _end(self) -> None:
        self._open.close()
        self._screen, self._is_begun, self._columns = None, False, ()

    def _fitting(self, run: TrainRun, screen: Screen) -> tuple[Column, ...]:
        """The columns; their titles are shown where these are not the ones above."""
        columns = table.columns(run.epochs, screen.width, scored=_is_scored(run))
        if columns != self._columns:
            self._columns = columns
            screen.keep((table.header(columns), "bold"))
        return columns

    @contextmanager
    def _show(self, text: str, total: int | None, done: int, unit: str) -> Iterator[Callable[[int], None]]:
        """What `progress` is asked for, in the last line."""
        before = self._task
        self._task = _Task(visible(text), done, total)

        def advance(count: int) -> None:
            if self._task is not None:
                self._task = self._task._replace(done=self._task.done + count)
                self._draw(at_once=self._task.done == self._task.total)

        try:
            yield advance
        finally:
            self._task = before
            self._draw(at_once=True)

    def _draw(self, *, at_once: bool = False) -> None:
        if self._screen is None or (not at_once and self._now() - self._drawn < OFTEN):
            return
        self._drawn = self._now()
        self._screen.change(*self._line(self._screen))

    def _line(self, screen: Screen) -> list[tuple[str, str]]:
        """The current epoch as far as it is, and beside it what is going on."""
        left = self._left(self._run, screen) if self._run is not None else ""
        parts, share = self._right()
        room = screen.width - len(left) - table.GAP
        least = SHORTEST if share is not None else 0
        texts, rest = table.beside(parts, room, least)
        gap = " " * table.GAP if left else ""
        pieces = [(left + gap, "")]
        if share is not None and rest >= least:
            pieces += [*_bar(share, min(rest, LONGEST), plain=screen.is_plain), (" " * table.GAP, "")]
        return [*pieces, ((" " * table.GAP).join(texts), "")]

    def _left(self, run: TrainRun, screen: Screen) -> str:
        columns = self._fitting(run, screen)
        losses = (
            run.losses if self._pace.batches else {}
        )  # before the first batch they are still those of the last epoch
        cells = table.progress_cells(run.epoch + 1, run.epochs, losses, _memory(run))
        known = [column for column in columns if column.title in (*table.LOSSES, "Epoch", "Memory")]
        return table.line(known, cells)

    def _right(self) -> tuple[list[Part], float | None]:
        """The pieces beside the bar, and how much of it is done, 0 to 1; None: there is no bar."""
        if self._task is not None:
            done, total = self._task.done, self._task.total
            count = [table.Part(f"{done}/{total}", 1)] if total else []
            return [table.Part(self._task.text, 0), *count], min(done / total, 1.0) if total else None
        if self._run is None:
            return [], None
        return _parts(self._run, self._pace), min((_done(self._run)) / max(self._run.batches, 1), 1.0)


def _is_scored(run: TrainRun) -> bool:
    return run.args.val and run.valset is not None


def _done(run: TrainRun) -> int:
    """Batches of the epoch; between epochs there is none."""
    return run.batch_number + 1 if run.batch is not None else 0


def _parts(run: TrainRun, pace: Pace) -> list[Part]:
    """What else is told of the epoch that is under way. All have a fixed width, so that the bar keeps its own."""
    height, width = run.batch.images.shape[2:] if run.batch is not None else (0, 0)
    objects = f"{len(run.batch.classes)} objects" if run.batch is not None else ""
    size = "" if run.batch is None else str(width) if height == width else f"{height}x{width}"
    speed, left, rest = pace.images_per_second, pace.epoch_left(run), pace.run_left(run)
    total = len(str(run.batches))
    return [
        table.Part(f"{_done(run):>{total}}/{run.batches}", 1),
        table.Part(f"{objects:>11}", 5),
        table.Part(f"{size:>7}", 6),
        table.Part(f"{table.number(speed) + ' images/s' if speed else '':>14}", 4),
        table.Part(f"{table.clock(left) + ' left' if left is not None else '':>10}", 2),
        table.Part(f"{'end in ' + table.clock(rest) if rest is not None else '':>14}", 3),
    ]


def _bar(share: float, width: int, *, plain: bool) -> list[tuple[str, str]]:
    done, todo = ("#", "-") if plain else ("━", "─")
    count = round(share * width)
    return [(done * count, "green"), (todo * (width - count), "dim")]


def _memory(run: TrainRun) -> int:
    """Bytes held at most."""
    import torch

    from segkit.core.training.memory import peak

    return peak(torch.device(run.device))
