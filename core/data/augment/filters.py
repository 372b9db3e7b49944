"""Which objects are still worth learning from after a change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SIDE = 2.0
"""Pixels: both sides of a box are longer."""

LARGEST_ASPECT = 100.0
"""A box's longer side in units of its shorter one is less."""

LEAST_SHARE = {True: 0.01, False: 0.10}
"""The share of its area that an object keeps at least, where its shape is known and where only its box is."""


def worth_keeping(old: NDArray[np.float32], new: NDArray[np.float32], outlined: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) which objects stay, by their boxes (N, 4) before, at the new scale, and after, cut to the frame."""
    width, height = new[:, 2] - new[:, 0], new[:, 3] - new[:, 1]
    before = (old[:, 2] - old[:, 0]) * (old[:, 3] - old[:, 1])
    share = np.where(outlined, LEAST_SHARE[True], LEAST_SHARE[False])
    short, long = np.minimum(width, height), np.maximum(width, height)
    keep = (short > LEAST_SIDE) & (long < LARGEST_ASPECT * short) & (width * height > share * before)
    return np.asarray(keep)
