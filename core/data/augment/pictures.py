"""The scenes that samples are made of: pictures read and brought to size, the recent ones kept in memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.labelled import Labelled, Listed
from segkit.core.data.augment.scene import Scene
from segkit.core.data.sample import Sample
from segkit.core.images.batch import Picture
from segkit.core.images.geometry import PAD_VALUE
from segkit.core.images.reading import read_picture
from segkit.core.images.size import Size

_EXTENT = 1e-3
"""Pixels: what is less may round to nothing where it is moved to, and in units of the sides."""

NONE = -1
"""In the place of a picture's number: none."""


class Store(Protocol):
    """Where pictures are kept that are read and brought to size, for all who make samples of them."""

    side: int
    """Pixels of their long sides."""

    def get(self, index: int) -> Picture | None:
        """A picture, not to be written to, if it is kept."""

    def put(self, index: int, picture: Picture) -> object:
        """Keep a picture, if there is room."""


class Pictures:
    """The labelled pictures of a data set, each with its long side brought to a given number of pixels.

    Where there is no store, the most recently used ones are kept, up to `memory` bytes of pixels: in a mosaic, three of
    four pictures are another sample's. What a scene looks like does not depend on it. Threads may share this.

    Attributes:
        labelled: the pictures.
        reading: called with the number of a picture before it is read, and with `NONE` after.
    """

    def __init__(self, source: Sequence[Sample] | Labelled, memory: int = 0, store: Store | None = None) -> None:
        """Take the pictures of a data set; nothing is read yet."""
        self.labelled = source if isinstance(source, Labelled) else Listed(source)
        self.memory = memory
        self.reading: Callable[[int], object] = _unnoted
        self._store = store
        self._kept: OrderedDict[tuple[int, int], Scene] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labelled)

    def __getstate__(self) -> tuple[Any, ...]:
        """For another process: which begins without what is kept here."""
        return self.labelled, self.memory, self._store

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """In the other process."""
        self.__init__(*state)  # type: ignore[misc] # the same as made anew

    def scene(self, index: int, side: int) -> Scene:
        """A picture whose long side is `side` pixels, with its objects cut at its frame.

        Raises:
            SourceError: the picture cannot be read any more.
        """
        if self._store is not None and self._store.side == side:
            picture = self._store.get(index)
            if picture is None:
                picture = self.picture(index, side)
                self._store.put(index, picture)
            return self._scene(index, picture)
        key = index, side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        scene = self._scene(index, self.picture(index, side))
        self._keep(key, scene)
        return scene

    def picture(self, index: int, side: int) -> Picture:
        """The same without its objects, from its file."""
        self.reading(index)
        picture = resized(read_picture(self.labelled.path(index)), side)
        self.reading(NONE)
        return picture

    def _scene(self, index: int, picture: Picture) -> Scene:
        scene = self.labelled.outlined(index).scene(picture)
        return _with_area(clipped(scene)[0])  # run lengths may be of one pixel

    def _keep(self, key: tuple[int, int], scene: Scene) -> None:
        if scene.picture.nbytes > self.memory:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = scene
            self._bytes += scene.picture.nbytes
            while self._bytes > self.memory:
                self._bytes -= self._kept.popitem(last=False)[1].picture.nbytes


def _unnoted(index: int) -> None:
    """Nobody wants to know."""


def resized(picture: Picture, side: int) -> Picture:
    """A picture scaled so that its long side is `side` pixels; the other one is rounded up."""
    size = size_at((picture.shape[0], picture.shape[1]), side)
    if size == picture.shape[:2]:
        return picture
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def size_at(size: Size, side: int) -> Size:
    """The (height, width) of a picture of `size` once its long side is `side` pixels."""
    gain = side / max(size)
    return min(math.ceil(size[0] * gain), side), min(math.ceil(size[1] * gain), side)


def centred(scene: Scene, size: Size) -> Scene:
    """A scene in the middle of a grey frame of `size` (height, width) that it fits into."""
    height, width = scene.size
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    frame = np.full((*size, 3), PAD_VALUE, np.uint8)
    frame[top : top + height, left : left + width] = scene.picture
    return _with_area(scene.moved(frame, scene.points + np.array([left, top], np.float32)))


def _with_area(scene: Scene) -> Scene:
    """The scene without objects whose boxes have no width or height to speak of."""
    return scene.take(np.all(scene.boxes[:, 2:] - scene.boxes[:, :2] > _EXTENT, axis=1))
