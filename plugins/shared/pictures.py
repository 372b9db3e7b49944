"""How networks of this family take pictures: mostly with their channels last, as TensorFlow has it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import TensorInfo
from segkit.core.images import ImageBatch


class Pictures(NamedTuple):
    """How an input takes pictures; a side that is free is None."""

    batch: int | None
    height: int | None
    width: int | None
    channels_last: bool

    @classmethod
    def of(cls, info: TensorInfo) -> Pictures | None:
        """From its shape: NHWC, as TensorFlow has it, or NCHW, as some converters leave it; None: it takes none."""
        if len(info.shape) != 4 or 3 not in (info.shape[1], info.shape[3]):
            return None
        batch, *sides = (side if isinstance(side, int) else None for side in info.shape)
        last = info.shape[3] == 3
        height, width = sides[:2] if last else sides[1:]
        return cls(batch, height, width, last)


def words(tensor: TensorInfo) -> str:
    """A shape for messages: "1xanyxanyx3"."""
    return "x".join("any" if side is None else str(side) for side in tensor.shape)


def channels_last(batch: ImageBatch) -> NDArray[np.float32]:
    """(B, H, W, 3) float32 RGB 0..1: the pixels of every backend, without a detour where they are bytes."""
    if "f32_nchw" in batch.views:
        return batch.f32_nchw.transpose(0, 2, 3, 1)
    return np.divide(batch.u8_nhwc, np.float32(255), dtype=np.float32)
