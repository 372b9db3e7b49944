"""Turning, scaling, shearing, tilting and shifting: one matrix and one warp for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.filters import worth_keeping
from segkit.core.data.augment.patchwork import seen
from segkit.core.data.augment.scene import Scene
from segkit.core.images.batch import Picture
from segkit.core.images.geometry import PAD_VALUE
from segkit.core.images.size import Size

_DEEPEST = 0.75
"""A perspective divisor stays within 1 ± this all over the picture: 0 is the horizon, behind which all is mirrored."""

_TO_EDGES = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
"""OpenCV counts from the middle of the first pixel, outlines from its edge."""


@dataclass(frozen=True)
class Motion:
    """What is done to a picture about its centre: x before y, angles in degrees.

    `shift` is where the centre comes to lie, as a share of the target's sides; `tilt` is a pixel's part in the
    perspective divisor.
    """

    turn: float = 0.0
    scale: float = 1.0
    shear: tuple[float, float] = (0.0, 0.0)
    tilt: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.5, 0.5)


def draw_motion(random: np.random.Generator, arguments: AugmentArguments) -> Motion:
    """A motion uniform in the ranges of the arguments."""
    unit = random.uniform(-1, 1, 8).tolist()
    shear, tilt, shift = arguments.shear, arguments.perspective, arguments.translate
    return Motion(
        turn=arguments.degrees * unit[0],
        scale=1 + arguments.scale * unit[1],
        shear=(shear * unit[2], shear * unit[3]),
        tilt=(tilt * unit[4], tilt * unit[5]),
        shift=(0.5 + shift * unit[6], 0.5 + shift * unit[7]),
    )


def matrix(motion: Motion, source: Size, target: Size) -> NDArray[np.float64]:
    """(3, 3): from pixels of a picture of size `source` to those of one of size `target`, both (height, width)."""
    centre = np.eye(3)
    centre[:2, 2] = -source[1] / 2, -source[0] / 2
    tilt = np.eye(3)
    reach = (abs(motion.tilt[0]) * source[1] + abs(motion.tilt[1]) * source[0]) / 2
    tilt[2, :2] = np.array(motion.tilt) * min(1.0, _DEEPEST / max(reach, 1e-12))
    turn, cosine, sine = np.eye(3), math.cos(math.radians(motion.turn)), math.sin(math.radians(motion.turn))
    turn[:2, :2] = np.array([[cosine, sine], [-sine, cosine]]) * motion.scale
    shear = np.eye(3)
    shear[0, 1], shear[1, 0] = (math.tan(math.radians(angle)) for angle in motion.shear)
    shift = np.eye(3)
    shift[:2, 2] = motion.shift[0] * target[1], motion.shift[1] * target[0]
    return np.asarray(shift @ shear @ turn @ tilt @ centre)


def affine(scene: Scene, motion: Motion, target: Size) -> Scene:
    """The scene moved into a picture of size `target` (height, width), grey where the old one does not reach.

    Objects are cut at the frame; what is left too small of them is dropped (`filters.worth_keeping`).
    """
    way = matrix(motion, scene.size, target)
    if scene.size == target and np.allclose(way, np.eye(3), rtol=0, atol=1e-9):
        return scene
    picture = _warped(scene, way, target)
    old = scene.boxes * np.float32(motion.scale)
    new, left = clipped(scene.moved(picture, projected(scene.points, way)))
    return new.take(worth_keeping(old[left], new.boxes, new.outlined))


def projected(points: NDArray[np.floating[Any]], way: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Points (P, 2) through a (3, 3) matrix."""
    # Products and sums one by one: those of a matrix may be rounded in other ways on other numbers of threads.
    x, y = points.T.astype(np.float64)
    there = np.stack([x * row[0] + y * row[1] + row[2] for row in way[:2]], axis=1)
    if way[2, :2].any():
        there /= (x * way[2, 0] + y * way[2, 1] + way[2, 2])[:, None]
    return there


def _warped(scene: Scene, way: NDArray[np.float64], target: Size) -> Picture:
    """The picture through the matrix, bilinear, with a grey border."""
    pixels = np.linalg.inv(_TO_EDGES) @ way @ _TO_EDGES
    left, top, size = _needed(pixels, scene.size, target)
    if not min(size):
        return np.full((*target, 3), PAD_VALUE, np.uint8)
    pixels = pixels @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    part, border = seen(scene.shown, left, top, size), (PAD_VALUE,) * 4
    if way[2, :2].any():
        warped = cv2.warpPerspective(part, pixels, target[::-1], borderValue=border)
    else:
        warped = cv2.warpAffine(part, pixels[:2], target[::-1], borderValue=border)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR), np.uint8)


def _needed(pixels: NDArray[np.float64], source: Size, target: Size) -> tuple[int, int, Size]:
    """The part of the source that the target shows, a pixel more on each side: left, top and (height, width)."""
    if pixels[2, :2].any():
        return 0, 0, source
    corners = np.array([(-1, -1), (target[1], -1), (-1, target[0]), (target[1], target[0])], float)
    there = projected(corners, np.linalg.inv(pixels))
    low = np.maximum(np.floor(there.min(axis=0)).astype(int) - 1, -1)
    high = np.minimum(np.ceil(there.max(axis=0)).astype(int) + 2, (source[1] + 1, source[0] + 1))
    width, height = (high - low).clip(0).tolist()
    return int(low[0]), int(low[1]), (height, width)
