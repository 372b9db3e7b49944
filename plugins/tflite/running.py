"""The runtime, whichever is there: LiteRT, or the one inside TensorFlow."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from segkit.plugins.shared.quiet import unsaid

__all__ = ["interpreter", "unsaid"]


@cache
def interpreter() -> Any:
    """The class `Interpreter`."""
    if find_spec("ai_edge_litert") is not None:
        return import_module("ai_edge_litert.interpreter").Interpreter
    from segkit.plugins.shared.tensorflow import tf

    return tf.lite.Interpreter
