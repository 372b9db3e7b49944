"""Labels drawn into their picture, in the colours and letters of predictions: tinted masks, outlines, boxes, names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.labels import Labels, Shape
from segkit.core.data.raster import fill
from segkit.core.images.batch import Picture
from segkit.core.ink.colors import Color, color_of
from segkit.core.ink.tags import tag
from segkit.core.rle import decode

Place = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, the far sides exclusive."""

MOST = 1000
"""Objects of a picture that are drawn: the largest."""

OPACITY = 0.4
"""Of the tint of a mask."""

_CORNERS = 5000
"""Corners of an outline that are drawn: filling a scribble takes the square of their number."""

_FAR = 1 << 14
"""Pixels beyond which a corner is drawn at that distance: OpenCV computes with 16 bits there."""


def draw_labels(picture: Picture, labels: Labels, names: Mapping[int, str] | None) -> Picture:
    """A copy of a picture with its labels drawn in.

    Large objects are drawn first, so that small ones stay visible; of very many the largest `MOST`. A crowd has no
    tint, its outline alone. Of equal names that would lie on others the first is written.

    Args:
        picture: (H, W, 3) BGR uint8, of any size: labels are in units of its sides.
        labels: what to draw.
        names: class names by index; a class without one is written as its number. None: no names are written.

    Returns:
        (H, W, 3) BGR uint8.
    """
    canvas = picture.copy()
    height, width = canvas.shape[:2]
    line = max(round((height + width) * 0.0012), 1)
    scale = np.array([width, height, width, height], np.float64)
    boxes = np.clip(np.nan_to_num(labels.boxes * scale), -_FAR, _FAR).round().astype(int)
    spans = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) if len(labels) else np.empty(0)
    order = [int(i) for i in np.argsort(-spans, kind="stable")[:MOST]]
    for i in order:
        _paint_shape(canvas, labels.shapes[i], color_of(int(labels.classes[i])), line, tint=not labels.crowd[i])
    for i in order:
        x1, y1, x2, y2 = boxes[i].tolist()
        # The far sides are exclusive, and a box that touches them is still to be seen.
        corner = min(x2, width) - 1, min(y2, height) - 1
        cv2.rectangle(canvas, (x1, y1), corner, color_of(int(labels.classes[i])), line)
    taken: list[Place] = []
    told: set[str] = set()
    size = max(round((height + width) * 0.01), 11)
    for i in order[::-1]:
        if names is None:
            break
        index = int(labels.classes[i])
        text = names.get(index, str(index)) + (" (crowd)" if labels.crowd[i] else "")
        words = tag(text, f"class {index}", size, color_of(index))
        place, is_free = _place_of(words, boxes[i].tolist(), (height, width), taken)
        if place and (is_free or text not in told):  # where many stand close, their colour says the rest
            taken.append(place)
            told.add(text)
            canvas[place[1] : place[3], place[0] : place[2]] = words
    return canvas


def _paint_shape(canvas: Picture, shape: Shape, color: Color, line: int, *, tint: bool) -> None:
    found = _mask_of(shape, (canvas.shape[0], canvas.shape[1]))
    if found is None:
        return
    mask, top, left = found
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    if tint:
        cv2.copyTo(cv2.LUT(region, _tint(color)), mask, region)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    cv2.drawContours(canvas, outlines, -1, color, line, cv2.LINE_AA)


def _mask_of(shape: Shape, size: tuple[int, int]) -> tuple[NDArray[np.uint8], int, int] | None:
    """The mask of a shape in a picture of `size`, as a crop with its top and left; None where nothing is inside."""
    height, width = size
    if isinstance(shape, dict):
        mask = np.ascontiguousarray(decode(shape)).view(np.uint8)
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False), 0, 0
    if not shape:
        return None
    thinned = [part[:: len(part) // _CORNERS + 1] for part in shape]
    parts = [np.clip(np.nan_to_num(part * (width, height)), -_FAR, _FAR).round().astype(np.int32) for part in thinned]
    crop = fill(parts, size)
    return (crop.mask.view(np.uint8), crop.top, crop.left) if crop.mask.size else None


@lru_cache(maxsize=256)
def _tint(color: Color) -> NDArray[np.uint8]:
    """(1, 256, 3): what each value of each channel becomes under the tint."""
    values = np.arange(256)[None, :, None] * (1 - OPACITY) + np.array(color) * OPACITY
    return np.rint(values).astype(np.uint8)


def _place_of(tag: Picture, box: list[int], room: tuple[int, int], taken: list[Place]) -> tuple[Place | None, bool]:
    """Above the box, else below its upper side, else below it: inside the picture and, if possible, on no other tag.

    Returns:
        The place, None if the tag is larger than the picture, and whether no other tag is there.
    """
    (height, width), (high, wide) = room, tag.shape[:2]
    if high > height or wide > width:
        return None, False
    left = min(max(box[0], 0), width - wide)
    tops = [min(max(top, 0), height - high) for top in (box[1] - high, box[1], box[3], box[3] - high)]
    places = [(left, top, left + wide, top + high) for top in tops]
    free = [place for place in places if not any(_meet(place, other) for other in taken)]
    return (free or places)[0], bool(free)


def _meet(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
