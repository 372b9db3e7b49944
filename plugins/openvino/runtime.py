"""The runtime, imported in this place alone, without its telemetry."""

from __future__ import annotations

from segkit.plugins.openvino.telemetry import unreported

with unreported():
    import openvino as ov
    from openvino import opset13 as ops

__all__ = ["first_line", "ops", "ov"]


def first_line(error: BaseException) -> str:
    """What went wrong, without the places in OpenVINO's source code that its messages begin with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return (told or lines or [type(error).__name__])[0][:200]
