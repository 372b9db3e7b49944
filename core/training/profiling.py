"""A look at where the time of the first steps goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from segkit.core.files import atomic_write
from segkit.core.notices import notice

PASSED, SEEN = 3, 5
"""Steps that are let pass, being like no other, and steps that are looked at."""

FILE = "profile.json"


@contextlib.contextmanager
def profiled(folder: Path, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """What to call after every step: the trace of some early ones is then written to `folder`, if that is wanted.

    Raises:
        OutputError: it cannot be written.
    """
    if not wanted:
        yield lambda: None
        return
    from torch.profiler import ProfilerActivity, profile, schedule

    def write(found: profile) -> None:
        with atomic_write(folder / FILE) as partial:
            found.export_chrome_trace(str(partial))
        notice(f"trace of {SEEN} steps: {folder / FILE} (open it with https://ui.perfetto.dev or chrome://tracing)")

    looked_at = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    plan = schedule(wait=PASSED - 1, warmup=1, active=SEEN, repeat=1)
    with profile(activities=looked_at, schedule=plan, on_trace_ready=write) as profiler:
        yield profiler.step
    if not (folder / FILE).exists():
        notice(f"no trace: the run has fewer than {PASSED + 1} steps")
