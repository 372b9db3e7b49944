"""Paddle, imported without what its import does to a process besides."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

_QUIET = {"GLOG_minloglevel": "3"}
"""Errors are raised as well; what is below them is of no use to a user. Read when the library is loaded."""

_HANDLER = 1024
"""Bytes for a `struct sigaction`, which has 152 on Linux."""

_ONE = threading.Lock()
"""Two threads that both undo would undo each other's."""


@cache
def paddle() -> Any:
    """The package `paddle`, `paddle.inference` with it.

    Its library and TensorFlow's both carry protobuf, and whichever comes second would call the other's: that ends the
    process. Where the loader can, it is told to look into the library's own symbols first.

    Its import also sets OMP_NUM_THREADS for the whole process and its children, or advises against what it is set to,
    gives the root logger a handler, warns of a compiler's cache and handles the signals that end a process. All of that
    is undone. It makes a folder for data sets in the user's cache as well, which it is kept from.
    """
    with (
        _ONE,
        _own_symbols_first(),
        _unchanged_process(),
        _unchanged_signals(),
        _without_folders(),
        _without_advice(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        import paddle as module
        import paddle.inference
    return module


@contextmanager
def _own_symbols_first() -> Iterator[None]:
    deep = getattr(os, "RTLD_DEEPBIND", None)
    if deep is None:  # Windows and macOS look there first anyway
        yield
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | deep)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)


@contextmanager
def _unchanged_process() -> Iterator[None]:
    threads, handlers = os.environ.get("OMP_NUM_THREADS"), logging.root.handlers[:]
    ours = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = threads
        logging.root.handlers[:] = handlers


@contextmanager
def _without_folders() -> Iterator[None]:
    """No `~/.cache/paddle/dataset`: whoever gets a data set from Paddle makes its folder then."""
    made, unwanted = os.makedirs, str(Path(".cache", "paddle", "dataset"))

    def makedirs(name: Any, *args: Any, **options: Any) -> None:
        if not str(name).endswith(unwanted):
            made(name, *args, **options)

    os.makedirs = makedirs
    try:
        yield
    finally:
        os.makedirs = made


@contextmanager
def _without_advice() -> Iterator[None]:
    """Threads of a predictor are set one by one, so advice on the variable leads nowhere. Whatever else is said
    meanwhile comes out afterwards.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    finally:
        rest = [line for line in said.getvalue().splitlines(keepends=True) if "OMP_NUM_THREADS" not in line]
        if rest:
            sys.stderr.write("".join(rest))


@contextmanager
def _unchanged_signals() -> Iterator[None]:
    """Handlers are kept as the system knows them: Python's module speaks of its own only, and in the main thread."""
    if os.name == "nt":
        yield
        return
    sigaction = ctypes.CDLL(None).sigaction
    kept = {number: ctypes.create_string_buffer(_HANDLER) for number in signal.valid_signals()}
    known = [number for number, handler in kept.items() if sigaction(number, None, handler) == 0]
    try:
        yield
    finally:
        for number in known:
            sigaction(number, kept[number], None)  # refused for KILL and STOP, which nobody handles
