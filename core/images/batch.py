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
        start = time.perf_counter()
        out = np.empty((len(self), *self.size, 3), np.uint8)
        for canvas, picture, box in zip(out, self._pictures, self.geometry, strict=True):
            inside = _framed(canvas, box, PAD_VALUE)
            # OpenCV writes where it is told to: nothing of full size is copied.
            cv2.cvtColor(_resized(picture, box, inside), cv2.COLOR_BGR2RGB, dst=inside)
        self.seconds += time.perf_counter() - start
        return out

    @cached_property
    def f32_nchw(self) -> NDArray[np.float32]:
        """(B, 3, H, W) float32 RGB 0..1."""
        start = time.perf_counter()
        out = np.empty((len(self), 3, *self.size), np.float32)
        canvases = out.transpose(0, 2, 3, 1)
        if self._pictures is None:
            for canvas, pixels in zip(canvases, self.u8_nhwc, strict=True):
                _divide(cv2.split(pixels), canvas)
        else:  # without the bytes in between
            for canvas, picture, box in zip(canvases, self._pictures, self.geometry, strict=True):
                inside = _framed(canvas, box, np.float32(PAD_VALUE) / _WHITE)
                _divide(cv2.split(_resized(picture, box))[::-1], inside)
        self.seconds += time.perf_counter() - start
        return out


_WHITE = np.float32(255)
AnyArray = NDArray[Any]


def _framed(canvas: AnyArray, box: Letterbox, border: float) -> AnyArray:
    """Paint the border of `canvas` (H, W, 3) and give the rest, which is for the picture."""
    bottom, right = box.top + box.resized[0], box.left + box.resized[1]
    canvas[: box.top] = border
    canvas[bottom:] = border
    canvas[:, : box.left] = border
    canvas[:, right:] = border
    return canvas[box.top : bottom, box.left : right]


def _resized(picture: Picture, box: Letterbox, into: AnyArray | None = None) -> AnyArray:
    """`picture` in its size on the canvas, written to `into` where it has to be resized at all."""
    height, width = box.resized
    if (height, width) == picture.shape[:2]:
        return picture
    return cv2.resize(picture, (width, height), dst=into, interpolation=cv2.INTER_LINEAR)


def _divide(channels: Sequence[AnyArray], out: AnyArray) -> None:
    """Bytes to 0..1, channel by channel into `out` (H, W, 3)."""
    for index, channel in enumerate(channels):
        # One division per element, as in training: x * (1 / 255) would differ in the last bit.
        np.divide(channel, _WHITE, out=out[..., index], dtype=np.float32)


def _geometry_of(count: int, size: Any, geometry: Sequence[Letterbox] | None) -> tuple[Letterbox, ...]:
    given = tuple(geometry) if geometry is not None else (Letterbox.identity((int(size[0]), int(size[1]))),) * count
    if len(given) != count:
        raise ValueError(f"{count} pictures but {len(given)} geometries")
    return given
