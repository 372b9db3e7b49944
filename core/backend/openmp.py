"""How long idle threads of OpenMP hold their cores, for runtimes that bring it along (torch, ncnn, …)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = {"GOMP_SPINCOUNT": "1000"}
"""Turns of an idle thread of GNU's OpenMP before it sleeps. Its default, 300,000, is a millisecond or more after every
layer: on cores that others use too it makes a prediction several times slower. A thousand bridge the gap between two
layers, so a machine to itself loses nothing."""

CHOSEN = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""Who sets one of these has decided."""


@contextmanager
def considerate_threads() -> Iterator[None]:
    """For loading a runtime: OpenMP reads its settings once, when it is loaded. The environment is left as it was."""
    if CHOSEN & os.environ.keys():
        yield
        return
    os.environ.update(SPINS)
    try:
        yield
    finally:
        for name in SPINS:
            os.environ.pop(name, None)
