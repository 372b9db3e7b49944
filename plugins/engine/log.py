"""What a runtime says: nothing is printed, and its last error explains a failure."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

KEPT = 20
"""Errors of a runtime that are remembered."""


@cache
def log_of(runtime: Any) -> Any:
    """The logger of a runtime's module. One for the process: whatever a runtime made refers to it until it is gone."""
    severities = runtime.ILogger

    class Log(runtime.ILogger):  # type: ignore[misc]  # the class comes from the runtime
        def __init__(self) -> None:
            runtime.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                self.errors = [*self.errors[1 - KEPT :], message]

        def last(self) -> str:
            """The last error in words, and forget all of them."""
            errors, self.errors = self.errors, []
            return plain(errors[-1]) if errors else "it does not say why"

    return Log()


def plain(message: str) -> str:
    """The first line of an error, without the place in somebody else's source."""
    first = next((line for line in message.strip().splitlines() if line.strip()), "")
    return re.sub(r"^(\[[\w.]+::\w+::\d+\] |\w+\.cpp:\d+: )+", "", first.strip())[:300]
