"""Whether there is an Edge TPU, and its runtime: asked at every start, so nothing is loaded to find out."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

LIBRARIES: Mapping[str, str] = {
    "linux": "libedgetpu.so.1",
    "darwin": "libedgetpu.1.dylib",
    "win32": "edgetpu.dll",
}
"""Google's Edge TPU runtime, which a delegate is loaded from."""

USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
"""Maker and product of a Coral USB Accelerator before and after something has run on it."""

PCIE = Path("/dev")
USB = Path("/sys/bus/usb/devices")

ELSEWHERE = (
    Path("/usr/local/lib/libedgetpu.1.dylib"),
    Path("/opt/local/lib/libedgetpu.1.dylib"),
    Path(r"C:\Windows\System32\edgetpu.dll"),
)
"""Where a system does not show its devices as files, the runtime that somebody has installed stands for them."""

NAME = re.compile(r"(tpu|usb|pci)(?::(\d+))?")


def library() -> str:
    """File name of the runtime on this system."""
    return LIBRARIES.get(sys.platform, LIBRARIES["linux"])


def tpu_is_here() -> bool:
    """Whether this machine has an Edge TPU: on PCIe or M.2 with its driver, or on USB."""
    if any(PCIE.glob("apex_*")) or any(_ids(device) in USB_IDS for device in USB.glob("*")):
        return True
    return any(place.exists() for place in ELSEWHERE)


def is_tpu(device: str) -> bool:
    """Whether it names Edge TPUs as `delegate_name` understands them."""
    return NAME.fullmatch(device) is not None


def delegate_name(device: str) -> str:
    """As the runtime calls it: "" the first of any kind (tpu), ":1" the second (tpu:1), "usb", "usb:0", "pci:1"."""
    found = NAME.fullmatch(device)
    assert found is not None
    kind, number = found.groups()
    return ("" if kind == "tpu" else kind) + (f":{number}" if number else "")


def _ids(device: Path) -> tuple[str, str]:
    try:
        return (device / "idVendor").read_text().strip(), (device / "idProduct").read_text().strip()
    except OSError:
        return "", ""
