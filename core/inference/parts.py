"""Boxes and masks of one picture, under the names that users know."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.core.images import Size
from segkit.core.inference.arrays import Array, OnHost
from segkit.core.inference.masks import InstanceMasks
from segkit.core.rle import Rle


class Boxes(OnHost):
    """Boxes, confidences and classes of one picture; float32, in its pixels.

    Indexing with a number gives the Boxes of one object, so that `box.xyxy[0]` and `int(box.cls)` work in a loop.
    """

    def __init__(self, data: ArrayLike, orig_shape: Size) -> None:
        """`data` is (N, 6): x1, y1, x2, y2, confidence, class; or (N, 7) with a track id before the confidence."""
        rows = Array.of(data, np.float32)
        self.data = rows.reshape(1, -1) if rows.ndim == 1 and rows.size else rows.reshape(-1, rows.shape[-1] or 6)
        if self.data.shape[1] not in (6, 7):
            raise ValueError(f"boxes have 6 or 7 columns, not {self.data.shape[1]}")
        self.orig_shape = orig_shape

    @property
    def xyxy(self) -> Array:
        """(N, 4) x1, y1, x2, y2 in pixels."""
        return self._columns(slice(0, 4))

    @property
    def xywh(self) -> Array:
        """(N, 4) centre x, centre y, width, height in pixels."""
        x1, y1, x2, y2 = self.xyxy.T
        return Array.of(np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1))

    @property
    def xyxyn(self) -> Array:
        """`xyxy` divided by the picture's sides: 0..1."""
        return Array.of(self.xyxy / self._sides())

    @property
    def xywhn(self) -> Array:
        """`xywh` divided by the picture's sides: 0..1."""
        return Array.of(self.xywh / self._sides())

    @property
    def conf(self) -> Array:
        """(N,) confidence, 0..1."""
        return self._columns(-2)

    @property
    def cls(self) -> Array:
        """(N,) class index, as a float."""
        return self._columns(-1)

    @property
    def id(self) -> Array | None:
        """(N,) track id, or None where nothing was tracked."""
        return self._columns(4) if self.is_track else None

    @property
    def is_track(self) -> bool:
        """Whether the boxes carry track ids."""
        return bool(self.data.shape[1] == 7)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data`."""
        return self.data.shape

    def _columns(self, index: int | slice) -> Array:
        return Array.of(self.data[:, index])

    def _sides(self) -> NDArray[np.float32]:
        height, width = self.orig_shape
        return np.array([width, height, width, height], np.float32)

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.data)

    def __getitem__(self, index: Any) -> Boxes:
        """Some of the boxes: by number, slice, index list or condition."""
        return Boxes(self.data[index].reshape(-1, self.data.shape[1]), self.orig_shape)

    def __iter__(self) -> Iterator[Boxes]:
        """The boxes one by one."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """The table of numbers."""
        columns = "x1, y1, x2, y2, id, conf, cls" if self.is_track else "x1, y1, x2, y2, conf, cls"
        table = np.array2string(np.asarray(self.data), precision=3, suppress_small=True)
        return f"Boxes({len(self)} of {columns}; orig_shape={self.orig_shape}\n{table})"


class Masks(OnHost):
    """Masks of one picture. Only a small map of each object is kept; every other form is made when it is asked for."""

    def __init__(self, instances: InstanceMasks) -> None:
        """`instances` decides the convention: network input, or native picture (`retina_masks=True`)."""
        self.instances = instances

    @property
    def orig_shape(self) -> Size:
        """(height, width) of the picture."""
        return self.instances.letterbox.source

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of `data`, known without making it."""
        return len(self), *self.instances.frame

    @cached_property
    def data(self) -> Array:
        """(N, H, W) uint8, 0 or 1; H, W of the network's input with its border, or of the native picture.

        Bytes, so that `masks.data[0].numpy() * 255` is a picture; large: prefer `rle()`, `xy`, or `instances.crop(i)`.
        """
        return Array.of(self.instances.dense().view(np.uint8))

    @cached_property
    def xy(self) -> list[NDArray[np.float32]]:
        """One outline (K, 2) of x, y in pixels of the picture for each object; parts are joined to one outline."""
        return self.instances.all_polygons()

    @property
    def xyn(self) -> list[NDArray[np.float32]]:
        """`xy` divided by the picture's sides: 0..1."""
        height, width = self.orig_shape
        sides = np.array([width, height], np.float32)
        return [(outline / sides).astype(np.float32, copy=False) for outline in self.xy]

    def rle(self) -> list[Rle]:
        """COCO compressed run lengths at the size of the picture, one for each object."""
        return [self.instances.rle(index) for index in range(len(self))]

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.instances)

    def __getitem__(self, index: Any) -> Masks:
        """Some of the masks: by number, slice, index list or condition."""
        return Masks(self.instances[index])

    def __iter__(self) -> Iterator[Masks]:
        """The masks one by one."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """How many, and of what size."""
        count, height, width = self.shape
        return f"Masks({count} of {height}x{width}; orig_shape={self.orig_shape})"
