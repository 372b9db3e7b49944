"""The two ways in which one object's mask is held: as low-resolution logits, or ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segkit.core.inference._resample import Frame, Window

Crop = tuple[NDArray[np.bool_], int, int]
"""A mask (h, w) and where its first pixel lies in the frame: top, left. It is off outside."""


class Instance(Protocol):
    """One object's mask in both conventions."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def crop(self, native: bool) -> Crop:
        """The mask in picture pixels (native) or in network input pixels."""


@dataclass(frozen=True, eq=False, slots=True)
class Logits:
    """Low-resolution logits of one object. Pairs hold the network's convention first, the native one second."""

    samples: NDArray[np.float32]
    origin: tuple[int, int]
    frames: tuple[Frame, Frame]
    windows: tuple[Window, Window]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.samples.nbytes

    def crop(self, native: bool) -> Crop:
        """Up-sample inside the window of the convention."""
        window = self.windows[native]
        return self.frames[native].positive(self.samples, self.origin, window), window.top, window.left


@dataclass(frozen=True, eq=False, slots=True)
class Bits:
    """A ready mask, the same in both conventions."""

    mask: NDArray[np.bool_]
    top: int
    left: int

    @classmethod
    def trimmed(cls, mask: NDArray[np.bool_]) -> Bits:
        """Cut to what is on, as a copy."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(np.zeros((0, 0), np.bool_), 0, 0)
        top, left = int(rows[0]), int(columns[0])
        return cls(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.bool_), top, left)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.mask.nbytes

    def crop(self, native: bool) -> Crop:
        """A copy of the mask."""
        return self.mask.copy(), self.top, self.left
