"""Devices as users name them, checked against what this machine has."""

from __future__ import annotations

import torch

from segkit.core.errors import OptionError


def resolve(device: str) -> torch.device:
    """The torch device for "cpu", "cuda", "cuda:1", "1" (the same as cuda:1), "mps".

    Raises:
        OptionError: unknown, or not in this machine; the devices that exist are listed.
    """
    name = device.strip().lower()
    name = {"cuda": "cuda:0", "cpu:0": "cpu", "mps:0": "mps"}.get(name, f"cuda:{name}" if name.isdecimal() else name)
    known = available()
    if name not in known:
        raise OptionError.invalid("device", device, f"torch offers {', '.join(known)} here")
    return torch.device(name)


def available() -> list[str]:
    """Names of the devices of this machine that torch can run on."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
