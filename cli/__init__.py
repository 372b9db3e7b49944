"""The command line: parses, calls the sdk, renders. No decision about a picture, a model or a format is made here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code: 0, 1, 2 or 130."""
    from segkit.cli.app import run

    return run(sys.argv[1:] if argv is None else argv)
