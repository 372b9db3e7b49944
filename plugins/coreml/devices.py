"""Devices as users name them."""

from __future__ import annotations

from segkit.core.errors import OptionError, UnsupportedError

EVALUATOR = "evaluator"
"""Not Core ML, on macOS either: segkit evaluates the program, on the CPU."""

UNITS = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "mps": "CPU_AND_GPU", "ane": "CPU_AND_NE", "all": "ALL"}
"""Names → what Core ML calls its choices of processors."""


def units(device: str) -> str:
    """Core ML's name for a device.

    Raises:
        OptionError: there is none.
    """
    try:
        return UNITS[device.strip().lower()]
    except KeyError:
        raise OptionError.invalid("device", device, f"on macOS there are {', '.join((*UNITS, EVALUATOR))}") from None


def check_evaluated(device: str) -> None:
    """Refuse what is not computed by the evaluator.

    Raises:
        UnsupportedError: the device is one of Core ML's.
        OptionError: there is no such device at all.
    """
    name = device.strip().lower()
    if name in ("cpu", EVALUATOR):
        return
    if name in UNITS:
        raise UnsupportedError(
            "coreml",
            f"device={device}",
            "needs-os",
            "Core ML exists on Apple's systems only; here segkit evaluates the same program, with device=cpu",
        )
    raise OptionError.invalid("device", device, "outside of macOS a Core ML package is evaluated on the cpu")
