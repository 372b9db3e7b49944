"""Drawing detections into a picture: translucent masks with outlines, boxes, labels that stay inside and apart.

Everything works on the part of the picture that it changes; no full-size copy is made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Picture, Size
from segkit.core.inference.masks import InstanceMasks
from segkit.core.ink.colors import Color
from segkit.core.ink.tags import label

OPACITY = 0.45
"""Of the tint of a mask: the object stays recognisable below it."""

SMALLEST_TEXT = 9
"""Font size below which letters cannot be read: a label that would need less is left out."""

Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, the far sides exclusive."""


def line_width_for(size: Size) -> int:
    """Line width in pixels for a picture of (height, width)."""
    return max(round(sum(size) * 0.0012), 1)


def font_size_for(size: Size) -> int:
    """Font size in pixels for a picture of (height, width)."""
    return max(round(sum(size) * 0.01), 12)


def paint_masks(canvas: Picture, masks: InstanceMasks, colors: Sequence[Color], line_width: int) -> None:
    """Tint every mask of `canvas` and draw its outline, in place; large ones first, so that small ones stay visible."""
    crops = [masks.native_crop(index) for index in range(len(masks))]
    for index in sorted(range(len(crops)), key=lambda index: -crops[index][0].size):
        mask, top, left = crops[index]
        if mask.size:
            _paint_mask(canvas, np.ascontiguousarray(mask).view(np.uint8), (top, left), colors[index], line_width)


def _paint_mask(canvas: Picture, mask: Picture, origin: tuple[int, int], color: Color, line_width: int) -> None:
    top, left = origin
    region = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    cv2.copyTo(cv2.LUT(region, _tint(color)), mask, region)
    outline, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    cv2.drawContours(canvas, outline, -1, color, line_width, cv2.LINE_AA)


@lru_cache(maxsize=256)
def _tint(color: Color) -> NDArray[np.uint8]:
    """(1, 256, 3): what each value of each channel becomes under the tint."""
    values = np.arange(256)[None, :, None] * (1 - OPACITY) + np.array(color) * OPACITY
    return np.rint(values).astype(np.uint8)


def paint_boxes(canvas: Picture, xyxy: NDArray[np.floating[Any]], colors: Sequence[Color], line_width: int) -> None:
    """Draw boxes (N, 4) in place, the first one last: on top."""
    for (x1, y1, x2, y2), color in zip(_whole(xyxy, canvas)[::-1], colors[::-1], strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, line_width)


def paint_labels(
    canvas: Picture,
    xyxy: NDArray[np.floating[Any]],
    texts: Sequence[str],
    colors: Sequence[Color],
    *,
    line_width: int,
    font_size: int,
    font: str | None = None,
) -> None:
    """Write a label at each box (N, 4), in place: inside the picture, and where there is room not on another label.

    The first boxes choose their place first, and lie on top where there is no room.
    """
    height, width = canvas.shape[:2]
    chosen: dict[Rectangle, Picture] = {}
    for box, text, color in zip(_whole(xyxy, canvas), texts, colors, strict=True):
        drawn = _fitting_label(text, font_size, color, font, (height, width))
        if drawn is None:
            continue
        chosen.setdefault(_place(drawn.shape, box, line_width // 2, (height, width), chosen), drawn)
    for (x1, y1, x2, y2), drawn in reversed(chosen.items()):
        canvas[y1:y2, x1:x2] = drawn


def _fitting_label(text: str, size: int, color: Color, font: str | None, room: Size) -> Picture | None:
    """The label, set smaller if it is larger than the picture; None where it could not be read then."""
    drawn = label(text, size, color, font)
    shrink = min(room[0] / drawn.shape[0], room[1] / drawn.shape[1])
    if shrink < 1:
        size = int(size * shrink)
        if size < SMALLEST_TEXT:
            return None
        drawn = label(text, size, color, font)
    return drawn if drawn.shape[0] <= room[0] and drawn.shape[1] <= room[1] else None


def _place(shape: Sequence[int], box: Rectangle, edge: int, room: Size, taken: Collection[Rectangle]) -> Rectangle:
    """Where a label of `shape` goes: above the box, else inside it at the top, below it, inside at the bottom."""
    high, wide = shape[:2]
    x1, y1, x2, y2 = box
    left = min(max(x1 - edge, 0), room[1] - wide)
    tops = [y1 - edge - high + 1, y1 - edge, y2 + edge, y2 + edge - high + 1]
    inside = [top for top in tops if 0 <= top <= room[0] - high] or [min(max(tops[0], 0), room[0] - high)]
    right = min(max(x2 + edge + 1 - wide, 0), room[1] - wide)
    places = [(x, top, x + wide, top + high) for x in (left, right) for top in inside]
    return next((place for place in places if not any(_meet(place, other) for other in taken)), places[0])


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _whole(xyxy: NDArray[np.floating[Any]], canvas: Picture) -> list[Rectangle]:
    """Boxes in whole pixels of the canvas."""
    limit = np.array(canvas.shape[1::-1] * 2) - 1
    rounded = np.clip(np.rint(np.nan_to_num(np.asarray(xyxy, np.float64).reshape(-1, 4))), 0, limit).astype(int)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in rounded.tolist()]
