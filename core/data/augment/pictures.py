"""The scenes that samples are made of: pictures read and brought to size, the recent ones kept in memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np

from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.outlining import scene_of
from segkit.core.data.augment.scene import Scene
from segkit.core.data.sample import Sample
from segkit.core.images.batch import Picture
from segkit.core.images.geometry import PAD_VALUE
from segkit.core.images.reading import read_picture
from segkit.core.images.size import Size

_EXTENT = 1e-3
"""Pixels: what is less may round to nothing where it is moved to, and in units of the sides."""


class Pictures:
    """The labelled pictures of a data set, each with its long side brought to a given number of pixels.

    The most recently used ones are kept, up to `memory` bytes of pixels: in a mosaic, three of four pictures are
    another sample's. What a scene looks like does not depend on it. Threads may share this.
    """

    def __init__(self, samples: Sequence[Sample], memory: int = 0) -> None:
        """Take the samples of a data set; nothing is read yet."""
        self.samples = samples
        self._memory = memory
        self._kept: OrderedDict[tuple[int, int], Scene] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.samples)

    def __getstate__(self) -> tuple[Sequence[Sample], int]:
        """For another process: which begins without what is kept here."""
        return self.samples, self._memory

    def __setstate__(self, state: tuple[Sequence[Sample], int]) -> None:
        """In the other process."""
        self.__init__(*state)  # type: ignore[misc] # the same as made anew

    def scene(self, index: int, side: int) -> Scene:
        """A picture whose long side is `side` pixels, with its objects cut at its frame.

        Raises:
            SourceError: the picture cannot be read any more.
        """
        key = index, side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        sample = self.samples[index]
        picture = resized(read_picture(sample.path), side)
        scene = _with_area(clipped(scene_of(picture, sample.labels))[0])  # run lengths may be of one pixel
        self._keep(key, scene)
        return scene

    def _keep(self, key: tuple[int, int], scene: Scene) -> None:
        if scene.picture.nbytes > self._memory:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = scene
            self._bytes += scene.picture.nbytes
            while self._bytes > self._memory:
                self._bytes -= self._kept.popitem(last=False)[1].picture.nbytes


def resized(picture: Picture, side: int) -> Picture:
    """A picture scaled so that its long side is `side` pixels; the other one is rounded up."""
    height, width = picture.shape[:2]
    gain = side / max(height, width)
    size = min(math.ceil(width * gain), side), min(math.ceil(height * gain), side)
    if size == (width, height):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


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
