"""Random numbers that are the same on every machine and with every version of numpy.

What numpy makes of a generator's bits may change between its versions; the bits may not (NEP 19). Only they are used.
Source of the generator: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD = (1 << 64) - 1


class Numbers:
    """A stream of its own for every pair of seed and index."""

    def __init__(self, seed: int, index: int) -> None:
        """Both are taken modulo 2⁶⁴."""
        self._bits = np.random.Philox(key=np.array([seed & _WORD, index & _WORD], np.uint64))

    def below(self, count: int) -> int:
        """A whole number from 0 to `count` - 1."""
        return int(self._bits.random_raw()) % count

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """(count,) bytes."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)), np.uint64).astype("<u8")
        return words.view(np.uint8)[:count]
