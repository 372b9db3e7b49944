"""A terminal: a program that runs on it, and what a person in front of it sees."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

_PIECE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Shown:
    """What is on the screen after some output.

    Attributes:
        lines: from the top to the last that is not empty, without blanks at their ends.
        cursor: whether it is to be seen.
    """

    def __init__(self, output: str, columns: int = 80) -> None:
        """Follow the output of a program: text, new lines, the cursor up, a line wiped."""
        self.cursor = True
        rows, row, column = [""], 0, 0
        for code, letter, back, down, text in _PIECE.findall(output):
            if back:
                column = 0
            elif down:
                row, column = row + 1, 0
            elif letter == "A":
                row = max(row - int(code or 1), 0)
            elif letter == "K":
                rows[row] = ""
            elif letter in "hl" and code == "?25":
                self.cursor = letter == "h"
            for char in text:
                if column == columns:
                    row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
                rows[row] = rows[row].ljust(column)[:column] + char + rows[row][column + 1 :]
                column += 1
            rows += [""] * (row + 1 - len(rows))
        self.lines = "\n".join(line.rstrip() for line in rows).rstrip("\n").split("\n")


def run_on_terminal(script: str, columns: int = 80, environ: Mapping[str, str] | None = None) -> str:
    """Everything that a Python script writes whose output and errors go to a terminal so wide."""
    here, there = os.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    free = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        stdin=there,
        stdout=there,
        stderr=there,
        env=free | {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parent)} | dict(environ or {}),
    )
    os.close(there)
    output = b""
    try:
        while piece := os.read(here, 65536):
            output += piece
    except OSError:  # on Linux the end of a terminal is an error
        pass
    finally:
        os.close(here)
        child.wait()
    return output.decode()
