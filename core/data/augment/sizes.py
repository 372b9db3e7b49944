"""The sides that batches have with multi-scale. Repeatable, whoever asks in what order."""

from __future__ import annotations

import numpy as np

from segkit.core.images.size import STRIDE

_SIZES = 1
"""Marks the generators of sizes off from those of samples, which have three numbers, not four."""


def draw_side(seed: int, epoch: int, batch: int, side: int, change: float, stride: int = STRIDE) -> int:
    """The side of a batch with multi-scale: uniform in `side` · (1 ± `change`), to the nearest multiple of the stride.

    It depends on seed, epoch and the batch's number only.
    """
    if not change:
        return side
    random = np.random.default_rng(np.random.SeedSequence([seed, epoch, batch, _SIZES]))
    return max(round(side * random.uniform(1 - change, 1 + change) / stride), 1) * stride


def largest_side(side: int, change: float, stride: int = STRIDE) -> int:
    """The largest side that `draw_side` can give, or the next one."""
    return round(side * (1 + change) / stride) * stride if change else side
