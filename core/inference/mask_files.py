"""Masks as PNG pictures of the size of the original: one an object, or one map of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import OutputError
from segkit.core.files import file_name_of
from segkit.core.images import Size
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.saving import write_picture

NUMBERS = np.iinfo(np.uint16).max
"""The most objects that the pixels of a 16-bit map can tell apart."""


def write_instances(folder: Path, masks: InstanceMasks, classes: list[str]) -> list[Path]:
    """Write each mask as `folder`/NNN-class.png, 255 where the object is and 0 elsewhere; the best object first.

    One picture is in memory at a time.

    Raises:
        OutputError: the place cannot be written.
    """
    written = []
    canvas = np.zeros(masks.letterbox.source, np.uint8)
    for index, name in enumerate(classes):
        crop, top, left = masks.native_crop(index)
        window = canvas[top : top + crop.shape[0], left : left + crop.shape[1]]
        window[crop] = 255
        path = folder / f"{index + 1:03}-{file_name_of(name)}.png"
        write_picture(path, canvas)
        window[:] = 0
        written.append(path)
    return written


def index_map(masks: InstanceMasks | None, size: Size) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W): 0 for the background, n for the n-th object, the better one where two overlap.

    Bytes for up to 255 objects, 16 bits for more.
    """
    count = 0 if masks is None else len(masks)
    canvas = np.zeros(size, np.uint8 if count <= 255 else np.uint16)
    for index in reversed(range(count)):
        assert masks is not None
        crop, top, left = masks.native_crop(index)
        canvas[top : top + crop.shape[0], left : left + crop.shape[1]][crop] = index + 1
    return canvas


def write_index(path: Path, masks: InstanceMasks | None, size: Size) -> None:
    """Write `index_map` as a PNG; a picture without objects gives one that is 0 everywhere.

    Raises:
        OutputError: more objects than 16 bits count, or a place that cannot be written.
    """
    if masks is not None and len(masks) > NUMBERS:
        raise OutputError(path, f"a map has numbers for {NUMBERS} objects, not for {len(masks)}")
    write_picture(path, index_map(masks, size))
