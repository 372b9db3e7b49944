"""The process of Node that computes: started, asked through pipes, started anew if it dies, ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import ModelFileError, RuntimeFailure
from segkit.plugins.tfjs import packages

_LENGTH = 4
"""Bytes of a number before each head."""

_SECONDS = 5.0
"""To end by itself, which it does between two requests."""


class _DiedError(Exception):
    """The process has gone; what it said last."""


class NodeProcess:
    """A graph model in a process of Node. One caller at a time."""

    def __init__(self, path: Path, program: Path, threads: int) -> None:
        """Start it and load `program`, the `model.json` of the artefact `path`.

        Raises:
            ModelFileError: TensorFlow.js refuses it.
            RuntimeFailure: Node does not run.
        """
        self._path, self._program, self._threads = path, program, threads
        self._running: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[[subprocess.Popen[bytes], IO[bytes]], NodeProcess] | None = None
        try:
            self._start()
        except _DiedError as error:
            self.close()
            raise RuntimeFailure("tfjs", f"Node ended while it loaded the model: {error}") from None
        except BaseException:
            self.close()
            raise

    def run(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The outputs by name, each in memory of its own.

        Raises:
            RuntimeFailure: TensorFlow.js failed, or Node died, and again when it was asked anew.
        """
        request = {"run": pixels.shape, "bytes": pixels.nbytes}
        try:
            head, body = self._ask(request, pixels)
        except _DiedError:
            try:
                self._start()
                head, body = self._ask(request, pixels)
            except _DiedError as error:
                raise RuntimeFailure("tfjs", f"Node ended while it computed, twice: {error}") from None
        if "error" in head:
            raise RuntimeFailure("tfjs", _first_line(head["error"]))
        outputs, at = {}, 0
        for output in head["outputs"]:
            end = at + prod(output["shape"])
            outputs[output["name"]] = body[at:end].reshape(output["shape"])
            at = end
        return outputs

    def close(self) -> None:
        """End it."""
        if self._end is not None:
            self._end()

    def _start(self) -> None:
        """A new process with the model loaded.

        Raises:
            ModelFileError: TensorFlow.js refuses the model.
            RuntimeFailure: there is no Node.
            _DiedError: it ended.
        """
        self.close()
        program = packages.node()
        if program is None:
            raise RuntimeFailure("tfjs", "Node.js is not found any more")
        worker = packages.PROGRAMS / "worker.js"
        command = [program, str(worker), str(packages.folder()), str(self._threads)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process, and nobody need read it meanwhile
        self._running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0
        )
        self._end = weakref.finalize(self, _ended, self._running, self._said)  # also of one that nobody closes
        head, _ = self._ask({"load": str(self._program.resolve())})
        if "error" in head:
            raise ModelFileError(self._path, f"TensorFlow.js refuses it ({_first_line(head['error'])})")

    def _ask(
        self, head: Mapping[str, Any], body: NDArray[np.float32] | None = None
    ) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Send a request, wait for the answer.

        Raises:
            _DiedError: there is none.
        """
        running = self._running
        assert running
        assert running.stdin
        assert running.stdout
        text = json.dumps(head).encode()
        try:
            _write(running.stdin, len(text).to_bytes(_LENGTH, "little") + text)
            if body is not None:
                _write(running.stdin, body.data.cast("B"))
            length = int.from_bytes(_read(running.stdout, bytearray(_LENGTH)), "little")
            answer = json.loads(bytes(_read(running.stdout, bytearray(length))))
            numbers = np.empty(answer["bytes"] // 4, np.float32)
            _read(running.stdout, numbers.data.cast("B"))
        except (OSError, EOFError):
            raise _DiedError(self._last_words()) from None
        except BaseException:  # Ctrl-C: what is still on its way would be taken for the answer to the next question
            running.kill()
            raise
        return answer, numbers

    def _last_words(self) -> str:
        assert self._running is not None
        self._running.kill()
        code = self._running.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "Error" in line] or lines[-1:]
        return telling[-1][:300] if telling else f"with code {code}, and without a word"


def _ended(running: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    assert running.stdin
    assert running.stdout
    with contextlib.suppress(OSError):
        running.stdin.close()
    try:
        running.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
    running.stdout.close()
    said.close()


def _write(stream: Any, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) :]


def _read(stream: Any, into: Any) -> Any:
    """Fill `into`.

    Raises:
        EOFError: the stream ends before.
    """
    rest = memoryview(into)
    while rest:
        got = stream.readinto(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return into


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "it says nothing")[:200]
