"""The sizes that batches have: multi-scale, and rectangles of like shapes. Repeatable, whoever asks in what order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segkit.core.images.size import STRIDE, Size

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


def rectangles(
    sizes: Sequence[Size], batch: int, side: int, *, stride: int = STRIDE, margin: float = 0.0
) -> list[tuple[list[int], Size]]:
    """Batches of like shapes: indices of pictures, and the (height, width) that holds them with the least border.

    Args:
        sizes: (height, width) of every picture.
        batch: pictures a batch.
        side: the long side of a picture when it is shown to the network.
        stride: both sides of a batch are multiples of it.
        margin: added to each side, in strides, before rounding up; validation is customarily done with one half.

    Returns:
        Batches from wide to tall; every index once.
    """
    ratios = np.array([height / width for height, width in sizes])
    order = np.argsort(ratios, kind="stable").tolist()
    found = []
    for start in range(0, len(order), batch):
        indices = order[start : start + batch]
        flattest, tallest = ratios[indices[0]], ratios[indices[-1]]
        shape = (tallest, 1.0) if tallest < 1 else (1.0, 1 / flattest) if flattest > 1 else (1.0, 1.0)
        # Rounded first: 0.75 · 640 / 32 must not become 15.000000000000002, a stride more.
        height, width = (math.ceil(round(share * side / stride + margin, 6)) * stride for share in shape)
        found.append((indices, (height, width)))
    return found
