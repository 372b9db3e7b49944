"""Devices as users name them, to those that ncnn knows: the processor, or a GPU with Vulkan."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

import ncnn

from segkit.core.errors import OptionError


def has_loader() -> bool:
    """Whether the system's library of Vulkan can be opened. ncnn, asked for GPUs without one, tells the terminal of
    every name that it has tried.
    """
    if sys.platform != "linux" or "NCNN_VULKAN_DRIVER" in os.environ:
        return True
    for name in ("libvulkan.so.1", "libvulkan.so"):
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


def vulkan_device(device: str) -> int | None:
    """Number of the GPU for "vulkan" or "vulkan:1"; None for "cpu".

    Raises:
        OptionError: ncnn has no such device here.
    """
    name, colon, index = device.strip().lower().partition(":")
    if name == "cpu" and not colon:
        return None
    if name != "vulkan" or (colon and not index.isdigit()):
        raise OptionError.invalid("device", device, "ncnn runs on cpu, or with Vulkan on a GPU of any maker: vulkan:0")
    count = ncnn.get_gpu_count() if has_loader() else 0
    if count == 0:
        raise OptionError.invalid("device", device, "ncnn finds no GPU with a Vulkan driver here; device=cpu runs")
    number = int(index or 0)
    if number >= count:
        known = ", ".join(f"vulkan:{place}" for place in range(count))
        raise OptionError.invalid("device", device, f"ncnn finds {known} here")
    return number
