"""Mirroring."""

from __future__ import annotations

import cv2
import numpy as np

from segkit.core.data.augment.scene import Scene


def flipped(scene: Scene, *, lr: bool = False, ud: bool = False) -> Scene:
    """The scene mirrored left to right, upside down, both or not at all."""
    if not (lr or ud):
        return scene
    height, width = scene.size
    points = scene.points.copy()
    if lr:
        points[:, 0] = width - points[:, 0]
    if ud:
        points[:, 1] = height - points[:, 1]
    code = -1 if lr and ud else int(lr)
    return scene.moved(np.asarray(cv2.flip(scene.picture, code), np.uint8), points)
