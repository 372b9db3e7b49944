"""The command line: parses, calls the sdk, renders. No decision about a picture, a model or a format is made here."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and return its exit code: 0, 1, 2 or 130."""
    try:
        if argv is None:
            _tidy_up_when_told_to_stop()
        from segkit.cli.app import run

        return run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while modules were still being imported, before `run` could say it
        print("Error: interrupted.", file=sys.stderr)
        return 130


def _tidy_up_when_told_to_stop() -> None:
    """`kill`, `timeout` and a closed terminal end the process as an exit does: no temporary folder stays behind."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
