"""Instance masks that are small until someone looks at them.

Kept are the low-resolution logits of each object inside its box. Pixels are made on demand, in one of two conventions:

- network: logits interpolated to the network's input (border included), cut to the box in input pixels;
- native: logits without the border interpolated to the picture, cut to the box in picture pixels.

The assembly is YOLACT's (arXiv:1904.02689, section 3.2) with the threshold moved to the logits: interpolation comes
before it, so that edges are smooth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core import rle
from segkit.core.images import Letterbox, Size
from segkit.core.inference._instances import Bits, Crop, Instance
from segkit.core.inference.decode import Detections
from segkit.core.inference.low import LowMasks
from segkit.core.polygons import Outline, join, outlines


class InstanceMasks:
    """Masks of the objects in one picture, in one convention. Immutable; indexing shares the underlying data."""

    def __init__(self, instances: Sequence[Instance], letterbox: Letterbox, native: bool) -> None:
        """Use `from_prototypes` or `from_dense`."""
        self._instances = tuple(instances)
        self._native = native
        self.letterbox = letterbox

    @classmethod
    def from_prototypes(
        cls, prototypes: NDArray[np.float32], detections: Detections, letterbox: Letterbox, native: bool
    ) -> tuple[InstanceMasks, NDArray[np.int64]]:
        """Masks of `detections` and the indices of those that have a positive pixel; the others are dropped.

        Args:
            prototypes: (nm, h, w) float32 of this picture, any strides; neither kept nor viewed by the result.
            detections: boxes in network input pixels and coefficients (N, nm).
            letterbox: where the picture lies in the network's input.
            native: the convention: native picture, or network input.
        """
        low, inside = LowMasks.of(prototypes, detections, letterbox, native)
        shown = low.showing(native)
        return cls([low.instance(index) for index in shown.tolist()], letterbox, native), inside[shown]

    @classmethod
    def from_dense(cls, masks: NDArray[np.bool_]) -> InstanceMasks:
        """Masks (N, H, W) of a picture of size (H, W) that come from elsewhere; copied, cut to what is on."""
        size: Size = (masks.shape[1], masks.shape[2])
        return cls([Bits.trimmed(mask) for mask in masks], Letterbox.identity(size), native=True)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._instances)

    def __getitem__(self, index: int | slice | NDArray[Any] | Sequence[int]) -> InstanceMasks:
        """Some of the objects: by number (then a single one), slice, index array or mask."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return InstanceMasks([self._instances[i] for i in chosen], self.letterbox, self._native)

    def __iter__(self) -> Iterator[InstanceMasks]:
        """The objects one by one."""
        return (self[index] for index in range(len(self)))

    @property
    def nbytes(self) -> int:
        """Memory that the masks hold."""
        return sum(instance.nbytes for instance in self._instances)

    @property
    def frame(self) -> Size:
        """(height, width) that `crop` and `dense` refer to: the network's input, or the native picture."""
        return self.letterbox.source if self._native else self.letterbox.target

    def native(self) -> InstanceMasks:
        """The same objects in picture pixels; shares the logits, so nothing is lost on the way."""
        return self if self._native else InstanceMasks(self._instances, self.letterbox, native=True)

    def crop(self, index: int) -> Crop:
        """Mask of one object inside its box: (bool (h, w), top, left) in frame pixels."""
        return self._instances[index].crop(self._native)

    def native_crop(self, index: int) -> Crop:
        """The same in picture pixels."""
        return self._instances[index].crop(True)

    def dense(self) -> NDArray[np.bool_]:
        """(N, H, W) bool in frame pixels."""
        out = np.zeros((len(self), *self.frame), np.bool_)
        for index, canvas in enumerate(out):
            mask, top, left = self.crop(index)
            canvas[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return out

    def rle(self, index: int) -> rle.Rle:
        """COCO compressed run lengths at the native picture's size."""
        return rle.encode(*self.native_crop(index), self.letterbox.source)

    def polygons(self, index: int) -> list[NDArray[np.float32]]:
        """Outer outline of each part, (K, 2) x, y in picture pixels, made in the frame of the convention."""
        parts = outlines(*self.crop(index))
        if not parts:
            return []
        return np.split(self._to_picture(np.concatenate(parts)), np.cumsum([len(part) for part in parts[:-1]]))

    def polygon(self, index: int) -> NDArray[np.float32]:
        """One outline (K, 2), picture pixels, its parts joined at their nearest points; (0, 2) where nothing is on."""
        return self._to_picture(join(outlines(*self.crop(index))))

    def all_polygons(self) -> list[NDArray[np.float32]]:
        """As `polygon`, of every object."""
        joined = [join(outlines(*self.crop(index))) for index in range(len(self))]
        if not joined:
            return []
        return np.split(self._to_picture(np.concatenate(joined)), np.cumsum([len(part) for part in joined[:-1]]))

    def _to_picture(self, outline: Outline) -> NDArray[np.float32]:
        points: NDArray[np.float32] = outline.astype(np.float32)
        return points if self._native else self.letterbox.to_source(points)
