"""Where text goes: results to stdout, everything about the run to stderr, and in JSON mode one document to stdout."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from segkit.cli.progress import Bar, Counter
from segkit.core.notices import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_PLAIN = {"…": "...", "×": "x", "·": "|", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "→": "->"}  # fmt: skip
PIPE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe: wide enough not to wrap, unless COLUMNS says otherwise."""


class Output:
    """The two streams of a run and how they are used; `json` and `debug` are the switches of the command line."""

    def __init__(self, *, json: bool = False, debug: bool = False) -> None:
        """Take hold of stdout: in JSON mode nothing but the document may reach it."""
        self.json, self.debug = json, debug
        self._stdout = sys.stdout
        self._stderr = sys.stderr
        self._counter = Counter()
        self._begun = False

    @property
    def text(self) -> TextIO:
        """The stream for human text."""
        return self._stderr if self.json else self._stdout

    @cached_property
    def console(self) -> Console:
        """A rich console on the stream for human text; neither markup nor emoji are read out of what it prints."""
        from rich.console import Console

        width = None if self.text.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
        return Console(file=self.text, width=width, highlight=False, markup=False, emoji=False)

    @cached_property
    def _about(self) -> Console:
        """A rich console on stderr."""
        from rich.console import Console

        return Console(file=self._stderr, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "") -> None:
        """One line, never wrapped; above the counter while there is one."""
        if self._counter.live and self.text.isatty():
            self.console.print(visible(text), soft_wrap=True)
        else:
            print(visible(text), file=self.text)
        self._begun = True

    def table(self, *columns: str, right: Collection[str] = ()) -> Table:
        """An empty table, the columns in `right` flush right; what is too long goes on in the next line."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", justify="right" if column in right else "left")
        return table

    def show(self, renderable: RenderableType) -> None:
        """A table, or whatever else rich can draw."""
        self.console.print(renderable)
        self._begun = True

    def block(self, title: str, lines: Iterable[str] = (), *, paste: bool = False) -> None:
        """A title and its lines, indented; on a terminal they wrap at words, unless they are there to `paste`.

        Nothing if `lines` is given and empty.
        """
        from rich.padding import Padding

        body = list(lines)
        if not body and lines != ():
            return
        if self._begun:
            self.line()
        self._begun = True
        self.console.print(title, style="bold")
        for text in body:
            if self.text.isatty() and not paste:
                self.console.print(Padding(visible(text), (0, 0, 0, 2)))
            else:
                self.line(f"  {text}")

    @contextlib.contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner on stderr whose text the given function sets; plain lines of text where no terminal is."""
        if not self._stderr.isatty():
            yield self.notice
            return
        with self._about.status(visible(text)) as status:
            yield lambda step: status.update(visible(step))

    @contextlib.contextmanager
    def counter(self, total: Callable[[], int | None]) -> Iterator[Counter]:
        """Counts what is done, below the lines of a terminal; on stderr if only that is one. Nothing in JSON mode."""
        terminals = [] if self.json else [stream for stream in (self._stdout, self._stderr) if stream.isatty()]
        if terminals:
            console = self.console if terminals[0] is self._stdout else self._about
            self._counter = Bar(console, total, redirect_stderr=self._stderr.isatty())
        try:
            yield self._counter
        finally:
            self._counter.stop()
            self._counter = Counter()

    def document(self, value: Any) -> None:
        """The JSON document of this run."""
        utf8 = (self._stdout.encoding or "").lower().replace("-", "") == "utf8"
        # Made as a whole before it is written: half a document would be worse than none.
        text = json.dumps(value, ensure_ascii=not utf8, allow_nan=False, indent=2, default=_serialisable)
        self._stdout.write(text + "\n")

    def notice(self, text: str) -> None:
        """One line about the run, on stderr; above the counter while there is one."""
        print(visible(text), file=sys.stderr)

    def failure(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """An error: one line on stderr, the document in JSON mode, the traceback with --debug."""
        if self.debug and error is not None:
            traceback.print_exception(error, file=self._stderr)
        message = " ".join(part.strip() for part in text.splitlines() if part.strip())
        if self.json:
            with contextlib.suppress(OSError):  # stdout itself may be what failed
                self.document({"error": {"type": kind, "message": message}})
        red = self._stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        label = "\x1b[1;31mError:\x1b[0m" if red else "Error:"
        print(label, visible(message), file=self._stderr)


def prepare_streams() -> None:
    """Let every character through a terminal of any encoding: in plain spelling, or else as an escape.

    A stream that is closed from the start swallows what is written to it.
    """
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    codecs.register_error("segkit.plain", _plain_spelling)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="segkit.plain")


def _plain_spelling(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    piece = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or char.encode("ascii", "backslashreplace").decode() for char in piece), error.end


def _serialisable(value: Any) -> Any:
    """Plain values for arrays, numbers of numpy, and paths."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
