"""What segkit tells a user while it works: one logger, to standard error, without decoration.

Silence it with `logging.getLogger("segkit").setLevel("WARNING")`, or redirect it with a handler of your own.
"""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("segkit")


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Looks up `sys.stderr` at every message, so that redirection in notebooks and tests is seen."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def notice(text: str) -> None:
    """Tell the user something worth knowing that is not an error."""
    if not LOGGER.handlers:
        LOGGER.addHandler(_Stderr())
        LOGGER.propagate = False
        if LOGGER.level == logging.NOTSET:
            LOGGER.setLevel(logging.INFO)
    LOGGER.info("%s", visible(text))


def visible(text: str) -> str:
    """`text` with control characters spelt out: a file or class name must not be able to steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
