"""What segkit tells a user while it works: one logger, to standard error, without decoration; and a bar for what takes
long, where standard error is a terminal.

Silence it with `logging.getLogger("segkit").setLevel("WARNING")`, or redirect it with a handler of your own.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

LOGGER = logging.getLogger("segkit")

Shower = Callable[[str, int | None, int, str], AbstractContextManager[Callable[[int], None]]]
"""Shows what `progress` is asked to show, and takes the same arguments."""


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Looks up `sys.stderr` at every message, so that redirection in notebooks and tests is seen."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


_STDERR = _Stderr()
_SHOWERS: list[Shower] = []


def notice(text: str) -> None:
    """Tell the user something worth knowing that is not an error."""
    _prepare()
    LOGGER.info("%s", visible(text))


@contextlib.contextmanager
def progress(
    text: str, total: int | None, done: int = 0, unit: str = "bytes", *, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how many bytes, or other units, of `total` are done; call what this gives with the number of further ones.

    A bar on standard error if that is a terminal on which nothing else is being drawn; else one line, a notice. What is
    being drawn there may take it up (see `shown_by`).

    Args:
        text: what it is about, a few words.
        total: how many in all; None if that is not known.
        done: how many were done before.
        unit: what is counted, in the plural.
        quiet: show it only where somebody is drawing anyway.
    """
    if _SHOWERS:
        with _SHOWERS[-1](text, total, done, unit) as advance:
            yield advance
        return
    if quiet or not can_draw():
        if not quiet:
            notice(f"{text}: {_amount(total, unit)}" + (f", {_amount(done, unit)} of it here already" if done else ""))
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    if unit == "bytes":
        from rich.progress import DownloadColumn, TransferSpeedColumn

        columns += [DownloadColumn(), TransferSpeedColumn()]
    else:
        from rich.progress import MofNCompleteColumn

        columns += [MofNCompleteColumn(), TextColumn(f"{unit}, {{task.fields[rate]}}", markup=False)]
    console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
    with Progress(*columns, TimeRemainingColumn(), console=console, redirect_stdout=False) as bar:
        task = bar.add_task(visible(text), total=total, completed=done, rate="")

        def advance(count: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, advance=count, rate=f"{speed:.1f}/s" if speed else "")

        yield advance


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """In the block nothing is told: of several processes that do the same, one speaks."""
    _prepare()
    before = LOGGER.level
    LOGGER.setLevel(max(LOGGER.getEffectiveLevel(), logging.WARNING))
    try:
        yield
    finally:
        LOGGER.setLevel(before)


@contextlib.contextmanager
def shown_by(shower: Shower) -> Iterator[None]:
    """In the block, `progress` is shown by somebody who is drawing on the terminal anyway."""
    _SHOWERS.append(shower)
    try:
        yield
    finally:
        _SHOWERS.remove(shower)


def can_draw() -> bool:
    """Whether something may be drawn on standard error: notices go there, it is a terminal, and nobody draws on it."""
    _prepare()
    return _STDERR in LOGGER.handlers and LOGGER.isEnabledFor(logging.INFO) and _has_terminal()


def _amount(count: int | None, unit: str) -> str:
    if unit == "bytes":
        return size_of(count) if count is not None else "of unknown size"
    return f"{count} {unit}" if count is not None else f"some {unit}"


def size_of(count: int) -> str:
    """A size in bytes as people say it: 13.4 MB."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def _prepare() -> None:
    """Give the logger a way out, unless the user did."""
    if not LOGGER.handlers:
        LOGGER.addHandler(_STDERR)  # the same one: of threads that come here together, one counts
        LOGGER.propagate = False
        if LOGGER.level == logging.NOTSET:
            LOGGER.setLevel(logging.INFO)


def _has_terminal() -> bool:
    """Whether standard error is a terminal, and no spinner or bar of rich is on it: two would overwrite each other."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    from rich.file_proxy import FileProxy  # what a display of rich puts in the place of the stream

    return not isinstance(sys.stderr, FileProxy)


def visible(text: str) -> str:
    """`text` with control characters spelt out: a file or class name must not be able to steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
