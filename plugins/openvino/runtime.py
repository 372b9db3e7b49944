"""The runtime, imported in this place alone, without its telemetry."""

from __future__ import annotations

from functools import cache
from typing import Any

from segkit.plugins.openvino.telemetry import unreported

with unreported():
    import openvino as ov
    from openvino import opset13 as ops

__all__ = ["core_of_this_process", "first_line", "ops", "ov"]


@cache
def core_of_this_process() -> Any:
    """The list of devices, made once and never taken away.

    The CPU's part gives the thread that makes it another stack for signals (theirs are larger where there is AMX), and
    frees that with the last core and network. If another thread does so, the next Ctrl-C ends the process instead of
    raising KeyboardInterrupt.
    """
    return ov.Core()


def first_line(error: BaseException) -> str:
    """What went wrong, without the places in OpenVINO's source code that its messages begin with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return (told or lines or [type(error).__name__])[0][:200]
