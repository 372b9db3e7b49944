"""The runtime, whichever is there: LiteRT, what came before it, or TensorFlow's; and the Edge TPU's delegate."""

from __future__ import annotations

import ctypes
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from segkit.core.backend import GapKind
from segkit.core.backend.faults import words
from segkit.core.errors import RuntimeFailure, UnsupportedError
from segkit.plugins.edgetpu.devices import delegate_name, library


def runtime() -> ModuleType:
    """The module with `Interpreter` and `load_delegate`."""
    small = next((name for name in ("ai_edge_litert", "tflite_runtime") if find_spec(name)), None)
    return import_module(f"{small}.interpreter" if small else "tensorflow.lite.python.interpreter")


def delegate(device: str) -> Any:
    """What hands a network to the Edge TPU `device`.

    Raises:
        UnsupportedError: Google's runtime is not installed.
        RuntimeFailure: there is no such device, or another program has it.
    """
    name = library()
    try:
        ctypes.CDLL(name)  # the delegate's own class says nothing of use where that fails
    except OSError:
        raise UnsupportedError(
            "edgetpu",
            "predict",
            GapKind.NEEDS_TOOL,
            f"Google's Edge TPU runtime ({name}, https://coral.ai/software/#edgetpu-runtime) is not installed",
        ) from None
    wanted = delegate_name(device)
    try:
        return runtime().load_delegate(name, {"device": wanted} if wanted else {})
    except Exception as error:
        raise RuntimeFailure(
            "edgetpu",
            f"device={device} cannot be opened: is it plugged in, and does no other program use it? ({words(error)})",
        ) from error
