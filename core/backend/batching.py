"""For predictors whose file fixes the batch: any number of pictures, in chunks of exactly that size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def run_in_chunks(
    images: NDArray[Scalar], size: int, run: Callable[[NDArray[Scalar]], Sequence[NDArray[Any]]]
) -> list[NDArray[Any]]:
    """Outputs for all of `images` from a network that takes exactly `size` of them at a time.

    A last short chunk is filled up with zeros, whose outputs are cut off. Nothing is copied when `images` is one full
    chunk.

    Args:
        images: (B, ...) network input.
        size: the batch that the file fixes.
        run: the network: (size, ...) to its outputs, each (size, ...), in arrays that stay valid.
    """
    parts = []
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        count = len(chunk)
        if count < size:
            chunk = np.concatenate([chunk, np.zeros((size - count, *chunk.shape[1:]), chunk.dtype)])
        parts.append([output[:count] for output in run(chunk)])
    return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
