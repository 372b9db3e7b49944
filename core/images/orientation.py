"""How a camera was held: the EXIF orientation of a picture, read and undone (CIPA DC-008, tag 274)."""

from __future__ import annotations

import struct

import cv2

from segkit.core.images.batch import Picture

_TAG = 274
_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 7: cv2.ROTATE_180, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {2: 1, 4: 0}


def upright(picture: Picture, turn: int) -> Picture:
    """Apply an EXIF orientation (1 to 8; anything else leaves the picture alone)."""
    if turn in (5, 7):
        picture = cv2.transpose(picture)  # type: ignore[assignment]
    if turn in _TURNS:
        picture = cv2.rotate(picture, _TURNS[turn])  # type: ignore[assignment]
    if turn in _FLIPS:
        picture = cv2.flip(picture, _FLIPS[turn])  # type: ignore[assignment]
    return picture


def orientation(exif: object) -> int:
    """The orientation in a block of EXIF data; 1 where there is none or it is damaged.

    Read here in a few lines because Pillow's own reader warns about any other damaged tag on the way.
    """
    if not isinstance(exif, bytes):
        return 1
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * entry)
            if tag == _TAG:
                return int(value)
    except struct.error:
        pass
    return 1
