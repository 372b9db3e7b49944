"""How many processor cores this process may use. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def usable() -> list[int]:
    """Numbers of the logical processors that the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def physical() -> int:
    """Cores among them: two hardware threads of a core share its arithmetic, and count once where the system tells."""
    return len({_siblings(number) for number in usable()})


def _siblings(number: int) -> str:
    try:
        return Path(_TOPOLOGY.format(number)).read_text().strip()
    except OSError:
        return str(number)
