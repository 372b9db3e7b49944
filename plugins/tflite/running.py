"""The runtime, whichever is there: LiteRT, or the one inside TensorFlow."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any


@cache
def interpreter() -> Any:
    """The class `Interpreter`."""
    if find_spec("ai_edge_litert") is not None:
        return import_module("ai_edge_litert.interpreter").Interpreter
    from segkit.plugins.shared.tensorflow import tf

    return tf.lite.Interpreter


@contextmanager
def unsaid() -> Iterator[None]:
    """Without the line "Created TensorFlow Lite XNNPACK delegate for CPU.", which the runtime's C++ writes to the
    standard error of the process when it lays a network out. Whatever else is said meanwhile comes out afterwards.
    """
    try:
        place = sys.__stderr__.fileno() if sys.__stderr__ else 2
    except (OSError, ValueError):
        place = 2
    try:
        kept = os.dup(place)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), place)
        try:
            yield
        finally:
            os.dup2(kept, place)
            os.close(kept)
            said.seek(0)
            for line in said:
                if not line.startswith(b"INFO:"):
                    os.write(place, line)
