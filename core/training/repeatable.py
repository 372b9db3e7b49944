"""Settings of torch under which a run gives the same weights every time."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from segkit.core.notices import notice

_MEMORY: Any = torch.utils.deterministic  # its switch is no plain attribute


@contextlib.contextmanager
def repeatable(seed: int, deterministic: bool) -> Iterator[None]:
    """Seed every generator, and choose kernels that always add up in the same order; afterwards all is as before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    was, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, filling = torch.backends.cudnn.benchmark, _MEMORY.fill_uninitialized_memory
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else torch fills all memory that it takes, thousands of times a step, lest somebody read it before writing.
        _MEMORY.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
    try:
        with warnings.catch_warnings():
            _name_what_does_not_repeat()
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if cards:
            torch.cuda.set_rng_state_all(cards)
        torch.use_deterministic_algorithms(was, warn_only=warned)
        torch.backends.cudnn.benchmark = benchmark
        _MEMORY.fill_uninitialized_memory = filling
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def _name_what_does_not_repeat() -> None:
    """Tell once of every operation whose sums torch cannot make in the same order on this device."""
    shown = warnings.showwarning
    words = "does not have a deterministic implementation"

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        if words in str(message):
            notice(f"{str(message).split()[0]} has no fixed order on this device: the run cannot be repeated exactly")
        else:
            shown(message, *rest, **more)

    warnings.filterwarnings("once", message=f".*{words}.*")
    warnings.showwarning = show
