"""The network's input, made once: the same pixels for every backend."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images.geometry import PAD_VALUE, Letterbox
from segkit.core.images.size import Size

Picture = NDArray[np.uint8]
"""A picture as OpenCV holds it: (height, width, 3), BGR, uint8."""


class ImageBatch:
    """Letterboxed pictures of one size with their geometry.

    A predictor takes whichever view suits its runtime; both are lazy, made at most once, and must not be written to:

    - `u8_nhwc`: (B, H, W, 3) uint8, RGB;
    - `f32_nchw`: (B, 3, H, W) float32, RGB, 0..1, C-contiguous.

    `seconds` is the time spent on making them so far: a session reports it as preprocessing, whoever asked.
    """

    seconds: float

    def __init__(self, pictures: Sequence[Picture], size: Size, *, minimal: bool = False) -> None:
        """Letterbox `pictures` into `size` (height, width).

        With `minimal` and pictures of one shape, the input shrinks to the least multiples of the stride that hold them;
        pictures of several shapes always share the full `size`.
        """
        if not pictures:
            raise ValueError("an ImageBatch needs at least one picture")
        minimal = minimal and len({picture.shape[:2] for picture in pictures}) == 1
        self._pictures: Sequence[Picture] | None = pictures
        self.seconds = 0.0
        self.geometry = tuple(
            Letterbox.fit((picture.shape[0], picture.shape[1]), size, minimal=minimal) for picture in pictures
        )

    @classmethod
    def placed(cls, pictures: Sequence[Picture], geometry: Sequence[Letterbox]) -> ImageBatch:
        """Letterbox each picture as told: one geometry a picture, all of one target."""
        batch = cls.__new__(cls)
        batch._pictures = pictures
        batch.seconds = 0.0
        batch.geometry = _geometry_of(len(pictures), geometry[0].target, geometry)
        if len({box.target for box in batch.geometry}) > 1:
            raise ValueError("the pictures of a batch share one input size")
        return batch

    @classmethod
    def from_u8(cls, u8_nhwc: NDArray[np.uint8], geometry: Sequence[Letterbox] | None = None) -> ImageBatch:
        """Pictures that are network input already: (B, H, W, 3) uint8 RGB, used as they are."""
        batch = cls.__new__(cls)
        batch._pictures = None
        batch.seconds = 0.0
        batch.geometry = _geometry_of(u8_nhwc.shape[0], u8_nhwc.shape[1:3], geometry)
        batch.__dict__["u8_nhwc"] = u8_nhwc
        return batch

    @classmethod
    def from_f32(cls, f32_nchw: NDArray[np.float32], geometry: Sequence[Letterbox] | None = None) -> ImageBatch:
        """Pictures that are network input already: (B, 3, H, W) float32 RGB 0..1, used as they are."""
        batch = cls.__new__(cls)
        batch._pictures = None
        batch.seconds = 0.0
        batch.geometry = _geometry_of(f32_nchw.shape[0], f32_nchw.shape[2:4], geometry)
        batch.__dict__["f32_nchw"] = np.ascontiguousarray(f32_nchw, np.float32)
        return batch

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.geometry)

    @property
    def views(self) -> frozenset[str]:
        """Names of the views that exist by now."""
        return frozenset(("u8_nhwc", "f32_nchw")) & self.__dict__.keys()

    def make(self, views: Iterable[str]) -> None:
        """Make these views now, ahead of the predictor that will ask for them."""
        for view in views:
            getattr(self, view)

    @property
    def size(self) -> Size:
        """(height, width) of the network's input."""
        return self.geometry[0].target

    @cached_property
    def u8_nhwc(self) -> NDArray[np.uint8]:
        """(B, H, W, 3) uint8 RGB, letterboxed with bilinear resizing."""
        if self._pictures is None:  # made from floats: the only lossy road, and only for runtimes that take bytes
            rounded = np.rint(np.clip(self.f32_nchw, 0, 1) * 255).astype(np.uint8)
            return np.ascontiguousarray(rounded.transpose(0, 2, 3, 1))
        out = self._bgr
        start = time.perf_counter()
        del self.__dict__["_bgr"]  # turned in place
        for canvas in out:
            cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB, dst=canvas)
        self.seconds += time.perf_counter() - start
        return out

    @cached_property
    def f32_nchw(self) -> NDArray[np.float32]:
        """(B, 3, H, W) float32 RGB 0..1."""
        turned = "u8_nhwc" in self.__dict__
        pictures = self.u8_nhwc if turned else self._bgr
        start = time.perf_counter()
        out = np.empty((len(self), 3, *self.size), np.float32)
        for planes, picture in zip(out, pictures, strict=True):
            for plane, channel in zip(planes if turned else planes[::-1], cv2.split(picture), strict=True):
                plane[...] = channel
                # One division per element, as in training: x * (1 / 255) would differ in the last bit.
                plane /= np.float32(255)
        self.seconds += time.perf_counter() - start
        return out

    @cached_property
    def _bgr(self) -> NDArray[np.uint8]:
        """(B, H, W, 3) letterboxed, channels as they came: what both views are made of."""
        assert self._pictures is not None
        start = time.perf_counter()
        out = np.empty((len(self), *self.size, 3), np.uint8)
        for canvas, picture, box in zip(out, self._pictures, self.geometry, strict=True):
            height, width = box.resized
            inside = canvas[box.top : box.top + height, box.left : box.left + width]
            if box.resized == picture.shape[:2]:
                inside[...] = picture
            else:  # OpenCV writes where it is told to
                cv2.resize(picture, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
            canvas[: box.top] = PAD_VALUE
            canvas[box.top + height :] = PAD_VALUE
            canvas[:, : box.left] = PAD_VALUE
            canvas[:, box.left + width :] = PAD_VALUE
        self.seconds += time.perf_counter() - start
        return out


def _geometry_of(count: int, size: Any, geometry: Sequence[Letterbox] | None) -> tuple[Letterbox, ...]:
    given = tuple(geometry) if geometry is not None else (Letterbox.identity((int(size[0]), int(size[1]))),) * count
    if len(given) != count:
        raise ValueError(f"{count} pictures but {len(given)} geometries")
    return given
