"""How much memory a training has held, and what to do when it is not enough."""

from __future__ import annotations

import contextlib
import gc
import sys

import torch


def peak(device: torch.device) -> int:
    """Bytes held at most: of a GPU what torch reserved there, else of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if error.__cause__ is not None and is_short(error.__cause__):  # ours say what a runtime said
        return True
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in words or "out of memory" in words)


def give_back() -> None:
    """Let go of what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
