"""Devices by name, and whether there is any: asked at every start, so nothing is loaded to find out."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

DRIVERS = ("/dev/nvidiactl", "/dev/nvgpu", "/dev/nvhost-gpu", "/usr/lib/wsl/lib/libcuda.so.1")
"""What is there where a driver works: on a PC, on Jetsons, in Linux below Windows."""


def gpu_is_here() -> bool:
    """Whether this machine has an NVIDIA GPU with a driver that the user has not hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    return any(Path(driver).exists() for driver in DRIVERS)


def is_gpu(device: str) -> bool:
    """Whether it names a CUDA device."""
    return re.fullmatch(r"cuda(:\d+)?", device) is not None


def gpu_index(device: str) -> int:
    """The 1 of cuda:1; a DLA belongs to the first GPU."""
    found = re.fullmatch(r"cuda:(\d+)", device)
    return int(found[1]) if found else 0


def dla_core(device: str) -> int | None:
    """The 1 of dla:1; None for a GPU."""
    found = re.fullmatch(r"dla:(\d+)", device)
    return int(found[1]) if found else None
