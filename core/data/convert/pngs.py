"""Pictures whose pixels are numbers: of classes, or of objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.tracing import Points, trace
from segkit.core.errors import SourceError
from segkit.core.images.reading import MAX_PIXELS

IGNORED = 255
"""Value of pixels that belong to nothing, by Pascal VOC's custom."""

ON = 255
"""Value of all that is on, where masks have no other: black and white pictures."""

HALF = 127

_INEXACT = ("JPEG", "MPO")

_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "F")


def read_indices(mask: Path, size: tuple[int, int] | None = None, picture: Path | None = None) -> NDArray[np.int64]:
    """The values (height, width) of a grey or palette picture; of a palette the indices, not the colours.

    What is transparent is 0. The values of a JPEG file are not exact: there, what is lighter than half is 255.

    Args:
        mask: the file.
        size: (height, width) that it must have, if any.
        picture: whose size that is, for the error.

    Raises:
        SourceError: it cannot be read, has colours, parts of numbers, or is of another size.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(mask) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise SourceError(mask, "it has too many pixels")
                kind, mode, values = image.format, image.mode, np.asarray(image)
    except SourceError:
        raise
    except Exception as error:  # hostile bytes make decoders raise anything
        raise SourceError(mask, f"it is no picture, or damaged ({type(error).__name__})") from None
    if mode in ("LA", "RGBA"):
        values = values[..., :-1] * (values[..., -1:] > 0)
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]  # grey, saved as colour
    elif values.ndim == 3 or mode not in _MODES:
        raise SourceError(mask, "it has colours, but a mask is a grey or palette picture of class or object numbers")
    if values.dtype.kind == "f" and not ((np.abs(values) < 1 << 31) & (values == values.round())).all():
        raise SourceError(mask, "its pixels are no whole numbers, as those of classes or objects are")
    if kind in _INEXACT:
        values = np.where(values > HALF, np.uint8(ON), np.uint8(0))
    if size is not None and values.shape != size:
        whose = f"the picture '{picture.name}'" if picture else "its picture"
        raise SourceError(mask, f"it is {_words(values.shape)} pixels, but {whose} is {_words(size)}")
    return values.astype(np.int64)


def regions(values: NDArray[np.int64], *, connected: bool, least: int = 1) -> Iterator[tuple[int, tuple[Points, ...]]]:
    """(value, outlines) of the objects among values (height, width), by value; 0 is background.

    Args:
        values: the numbers.
        connected: each connected region, pixels that touch in a corner included, is an object of its own; otherwise
            all pixels of a value are one.
        least: outlines are empty for objects of fewer pixels.
    """
    if not (values > 0).any():
        return
    y, x = np.nonzero(values > 0)
    order = np.argsort(found := values[y, x], kind="stable")
    y, x, found = y[order], x[order], found[order]
    firsts = np.flatnonzero(np.diff(found, prepend=0))
    for value, rows, columns in zip(
        found[firsts].tolist(), *(np.split(each, firsts[1:]) for each in (y, x)), strict=True
    ):
        top, left = int(rows.min()), int(columns.min())
        window = np.s_[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
        for crop, down, right in (
            _separate(values[window] == value) if connected else ((values[window] == value, 0, 0),)
        ):
            enough = np.count_nonzero(crop) >= least
            yield value, trace(crop, top + down, left + right) if enough else ()


def _separate(mask: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], int, int]]:
    """The connected regions of a mask, each as a crop with its top and left."""
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    for number in range(1, count):
        x, y, width, height = (int(side) for side in boxes[number][:4])
        yield numbers[y : y + height, x : x + width] == number, y, x


def values_in(values: NDArray[np.int64]) -> list[int]:
    """The numbers that occur among values from 0 on, in order."""
    top = int(values.max(initial=0))
    found = np.unique(values) if top > 1 << 16 else np.flatnonzero(np.bincount(values.ravel().clip(0)))
    return [int(value) for value in found if value > 0]


def _words(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
