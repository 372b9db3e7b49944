"""A terminal on which lines stay and the last one changes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from segkit.core.notices import can_draw

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text


class Screen:
    """Draws on standard error. Notices, and what is printed to a terminal meanwhile, appear above the last line.

    It is drawn anew when it is told to, by no thread of its own, which would take time from those that learn.
    """

    def __init__(self, console: Console) -> None:
        """Begin to draw; `close` it."""
        from rich.live import Live
        from rich.text import Text

        self._console = console
        self._text: type[Text] = Text
        self._live: Live = Live(
            Text(""),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            vertical_overflow="crop",
        )
        self._live.start()

    @classmethod
    def open(cls) -> Screen | None:
        """The terminal, if there is one on which something may be drawn."""
        if not can_draw():
            return None
        from rich.console import Console

        console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
        return None if console.is_dumb_terminal else cls(console)

    @property
    def width(self) -> int:
        """Characters that a line may have; in the last column some terminals begin a new line."""
        return max(self._console.width - 1, 1)

    @property
    def is_plain(self) -> bool:
        """Whether only ASCII can be shown."""
        return self._console.options.ascii_only

    def keep(self, *pieces: tuple[str, str]) -> None:
        """A line that stays, from (text, style of rich)."""
        self._console.print(self._line(pieces), no_wrap=True, overflow="crop", crop=True)

    def change(self, *pieces: tuple[str, str]) -> None:
        """The last line, from (text, style of rich)."""
        self._live.update(self._line(pieces), refresh=True)

    def close(self) -> None:
        """Take the last line away and leave the terminal as it was."""
        self._live.stop()

    def _line(self, pieces: tuple[tuple[str, str], ...]) -> Text:
        return self._text.assemble(*pieces, no_wrap=True, overflow="crop")
