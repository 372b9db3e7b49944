"""What the log of a process tells that crashed or was ended: where it was, and what it said last."""

from __future__ import annotations

import re
import sysconfig
from pathlib import PurePath

from segkit.conformance.report import shortened

CRASH, HANG = r"Fatal Python error: |Windows fatal exception: ", r"Timeout \(\d+:\d\d:\d\d"
"""How a stack begins that Python's faulthandler has left: of a crash, and of a test that took too long."""

THREAD = re.compile(r'^(Current thread|Thread) 0x[^\n]*\n((?:  File "[^\n]*(?:\n|\Z))+)', re.MULTILINE)
FRAME = re.compile(r'^  File "([^"]*)", line (\d+) in (.*)$', re.MULTILINE)

TELLING = ("E  ", "ERROR: ")
"""How lines of pytest begin that say what is wrong."""

FRAMES = 3
"""Those that are told, the innermost ones."""

LONGEST = 300

STDLIB = sysconfig.get_path("stdlib")


def place_of(log: str, begin: str) -> str:
    """The innermost frames of the last stack that begins so; "" without one.

    Those of pytest and of Python's own modules are left out: they are the same wherever it happens.
    """
    begins = [found.start() for found in re.finditer(begin, log)]
    threads = THREAD.findall(log, begins[-1]) if begins else []
    # The one that crashed; where none is marked, the main thread, which is the last.
    stacks = [stack for which, stack in threads if which.startswith("Current")] or [stack for _, stack in threads[-1:]]
    frames: list[tuple[str, str, str]] = [found for stack in stacks[:1] for found in FRAME.findall(stack)]
    telling = [frame for frame in frames if not _is_machinery(frame[0])] or frames
    return ", called from ".join(
        f"{'/'.join(PurePath(file).parts[-2:])}, line {line} in {name}" for file, line, name in telling[:FRAMES]
    )


def said_in(log: str) -> str:
    """The line that says what is wrong, or the last one before the stack; "" if there is none."""
    text = re.split(f"{CRASH}|{HANG}", log, maxsplit=1)[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(TELLING)]
    return shortened((telling or lines or [""])[-1], LONGEST)


def _is_machinery(file: str) -> bool:
    path = PurePath(file)
    own = path.is_relative_to(STDLIB) and "site-packages" not in path.parts
    return own or file.startswith("<") or not {"_pytest", "pluggy", "pytest"}.isdisjoint(path.parts)
