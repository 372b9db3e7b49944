"""What sources are made of: entries that can be read, and the items that reading gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture stands in a video or live stream.

    `number` counts from 1 over all frames of the source, those that `vid_stride` left out included; `count` is their
    number, None where only the end will tell; `rate` is frames a second of the source, None where it does not say.
    """

    number: int
    count: int | None = None
    rate: float | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What reading one entry gives: a picture, and for tensors the network input as it was given."""

    picture: Picture
    tensor: NDArray[np.float32] | None = None
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture that can be read. Without a `path` it lives in memory and is named by its place."""

    read: Callable[[], Content]
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a source, or the reason why there is none.

    `picture` is (height, width, 3) BGR uint8. `tensor` is set if the source was a tensor: (3, H, W) float32 RGB 0..1,
    network input that must not be letterboxed again; `picture` is then the same in bytes. Exactly one of `picture` and
    `error` is set. `frame` is set for pictures out of a video or stream.
    """

    index: int
    path: str
    picture: Picture | None = None
    tensor: NDArray[np.float32] | None = None
    error: SourceError | None = None
    frame: Frame | None = None
