"""What starting costs, as whole processes, beside a Python that does nothing: python benchmarks/startup.py"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common import Side, in_turns, options, peer_absent, row, title


def process(*command: str | Path) -> Side:
    """Run it to its end; it must succeed."""

    def run() -> None:
        subprocess.run(
            [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )

    return run


def main() -> None:
    """Print a row a command."""
    given = options(__doc__)
    python, here = Path(sys.executable), Path(sys.executable).parent
    sides = {
        "python -c pass": process(python, "-c", "pass"),
        'python -c "import segkit"': process(python, "-c", "import segkit"),
        "segkit --help": process(here / "segkit", "--help"),
        "segkit version": process(here / "segkit", "version"),
    }
    if given.peer:
        sides["the peer's help"] = process(given.peer.parent / "yolo", "help")
    times = in_turns(sides, given.rounds(6), 1)
    title("Starting, as whole processes, against a Python that does nothing")
    for name, taken in times.items():
        row(name, taken, times["python -c pass"] if name != "python -c pass" else None)
    if given.peer is None:
        peer_absent()


if __name__ == "__main__":
    main()
