"""Devices as users name them, checked against what this machine has; and what float32 means on them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

from segkit.core.errors import OptionError

_lock = threading.Lock()
_users = 0
_undo = contextlib.ExitStack()


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


@contextlib.contextmanager
def exact(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """On a CUDA device float32 means float32: torch's default there rounds to 10 bits of mantissa (TF32).

    The switch is that of the whole process: of several threads the last to leave turns it back.
    """
    global _users
    if device.type != "cuda" or dtype is not torch.float32:
        yield
        return
    with _lock:
        if not _users:
            now = torch.backends.cudnn
            _undo.enter_context(
                now.flags(enabled=True, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False)
            )
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _undo.close()
