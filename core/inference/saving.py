"""Writing a result: pictures, label files, cut-outs. Every file appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import OutputError
from segkit.core.files import atomic_write, file_name_of
from segkit.core.images import Picture
from segkit.core.inference.parts import Boxes, Masks

_GREY_ONLY = (".pbm", ".pgm")
"""Formats that OpenCV knows and that hold no colours."""


def write_picture(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write (H, W, 3) BGR, or grey (H, W) to a .png, in the format that the suffix names.

    Raises:
        OutputError: a suffix without an encoder, a picture the format cannot hold, or a place that cannot be written.
    """
    if not _encodable(path.suffix):
        raise OutputError(
            path, f"no picture format has the suffix '{path.suffix}'; use .jpg, .png, .bmp, .tif or .webp"
        )
    try:
        done, data = cv2.imencode(path.suffix, picture)
    except cv2.error:
        done = False
    if not done:
        height, width = picture.shape[:2]
        raise OutputError(path, f"{path.suffix} cannot hold a picture of {width}x{height}; use .png")
    with atomic_write(path) as partial:
        partial.write_bytes(data.data)


def _encodable(suffix: str) -> bool:
    """Whether OpenCV writes colour pictures under this suffix. It never sees the name: one that is not UTF-8,
    as old archives have them, crashes it.
    """
    return suffix.isascii() and suffix.lower() not in _GREY_ONLY and cv2.haveImageWriter("picture" + suffix)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text.

    Raises:
        OutputError: the place cannot be written.
    """
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def label_rows(boxes: Boxes, masks: Masks | None, *, confidence: bool) -> Iterator[str]:
    """Rows of a YOLO label file: class, the normalised outline (or box: cx cy w h), and the confidence if asked for.

    An outline of fewer than three points (a mask of a pixel or two) would be read as a box: it is written as one.
    """
    outlines = masks.xyn if masks is not None else [None] * len(boxes)
    for row, box, outline in zip(boxes.data.tolist(), boxes.xywhn.numpy(), outlines, strict=True):
        shape = box if outline is None or len(outline) < 3 else outline
        numbers = [f"{value:.6g}" for value in np.ravel(shape).tolist()]
        yield " ".join([str(int(row[-1])), *numbers, *([f"{row[-2]:.6g}"] if confidence else [])])


def write_crops(folder: Path, file_name: Path, picture: Picture, boxes: Boxes, classes: Sequence[str]) -> list[Path]:
    """Cut every box out of `picture` into `folder`/class/; existing files are never overwritten, a number is added.

    Raises:
        OutputError: the place cannot be written.
    """
    written = []
    numbers: dict[Path, int] = {}  # each object begins where the last one of its class has found a place
    height, width = picture.shape[:2]
    for (x1, y1, x2, y2), name in zip(boxes.xyxy.tolist(), classes, strict=True):
        left, top = max(int(x1), 0), max(int(y1), 0)
        right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
        if right <= left or bottom <= top:
            continue
        wanted = folder / file_name_of(name) / file_name.name
        number, path = _free(wanted, numbers.get(wanted, 0) + 1)
        numbers[wanted] = number
        write_picture(path, np.ascontiguousarray(picture[top:bottom, left:right]))
        written.append(path)
    return written


def _free(path: Path, number: int) -> tuple[int, Path]:
    """The first number from `number` on with which no file exists, and the path with it; the first has none."""
    while (free := path if number == 1 else path.with_stem(f"{path.stem}{number}")).exists():
        number += 1
    return number, free
