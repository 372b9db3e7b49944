"""Runs Google's compiler, which is a program: in a folder of its own, for as long as it may take, whatever it does."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from segkit.core.errors import ExportError, UnsupportedError
from segkit.plugins.edgetpu import COMPILER, NO_COMPILER, WITHOUT_COMPILER
from segkit.plugins.edgetpu.graph import COMPILED, read_graph
from segkit.plugins.edgetpu.log import Mapped, complaint

_GIVEN, _MADE, _SAID = "model.tflite", "model_edgetpu.tflite", "said.txt"

GRACE = 30
"""Seconds more than the compiler is told to take: it ends itself, and says so."""


class Compiled(NamedTuple):
    """What the compiler made, and what it said of it."""

    content: bytes
    mapped: Mapped


def compile_network(content: bytes, timeout: int) -> Compiled:
    """A file of TensorFlow Lite, whose numbers are all whole, compiled for the Edge TPU.

    Args:
        content: the file, with nothing behind it.
        timeout: seconds that it may take.

    Raises:
        UnsupportedError: the compiler is not on the PATH.
        ExportError: it cannot be started, fails, takes longer, or makes nothing that runs on an Edge TPU; `.log` holds
            what it printed.
    """
    program = shutil.which(COMPILER)
    if program is None:
        raise UnsupportedError("edgetpu", "export", NO_COMPILER.kind, NO_COMPILER.reason)
    with tempfile.TemporaryDirectory(prefix="segkit-edgetpu-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / _GIVEN).write_bytes(content)
        # Names without a folder: whatever that is called, with blanks or letters of any script, the compiler sees none
        # of it.
        problem = _run([program, "-s", "-t", str(timeout), "-o", ".", _GIVEN], folder, timeout + GRACE)
        log = (folder / _SAID).read_text(encoding="utf-8", errors="replace")
        made = folder / _MADE
        if problem or not made.is_file():
            raise _failure(problem or "made no file", log)
        content = made.read_bytes()
    try:
        operators = {call.operator for call in read_graph(content).calls}
    except ValueError as error:
        raise _failure(f"made a file that is damaged: {error}", log) from None
    if COMPILED not in operators:
        raise _failure("put nothing of the network on the Edge TPU", log)
    return Compiled(content, Mapped.parse(log))


def _run(command: list[str], folder: Path, patience: int) -> str:
    """What the compiler did wrong, "" where that is nothing. What it prints goes to a file, which a process that it
    leaves does not keep us from reading. Its processes are of our group, and end with the export.
    """
    with (folder / _SAID).open("wb") as said:
        try:
            child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        except OSError as error:
            return f"cannot be started ({(error.strerror or str(error)).lower()})"
        try:
            code = child.wait(patience)
        except subprocess.TimeoutExpired:
            return f"was still at work after {patience} seconds (timeout=… gives it more)"
        finally:
            child.kill()
            child.wait()
    if code < 0:
        known = -code in {*signal.Signals}
        return f"crashed with {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"ended with code {code}" if code else ""


def _failure(problem: str, log: str) -> ExportError:
    said = complaint(log)
    words = f" (it says: {said})" if said else ""
    return ExportError("edgetpu", f"{COMPILER} {problem}{words}; {WITHOUT_COMPILER}", log)
