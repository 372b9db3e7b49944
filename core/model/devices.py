"""Devices as users name them, checked against what this machine has; and what float32 means on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from segkit.core.errors import OptionError
from segkit.core.held import Held


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


def exact(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """On a CUDA device float32 means float32: torch's default there rounds to 10 bits of mantissa (TF32)."""
    return _no_tf32() if device.type == "cuda" and dtype is torch.float32 else contextlib.nullcontext()


def _turn_off_tf32() -> Callable[[], None]:
    now, undo = torch.backends.cudnn, contextlib.ExitStack()
    undo.enter_context(
        now.flags(enabled=True, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False)
    )
    return undo.close


_no_tf32 = Held(_turn_off_tf32)
