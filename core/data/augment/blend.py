"""Two scenes as one: MixUp (arXiv 1710.09412) and CutMix (arXiv 1905.04899)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.clip import Window, clipped, cut_outline
from segkit.core.data.augment.filters import worth_keeping
from segkit.core.data.augment.scene import Points, Scene, joined
from segkit.core.images.size import Size

_EVEN = 32.0
"""Both parameters of the beta distribution of a blend: close to half and half."""


def draw_share(random: np.random.Generator) -> float:
    """The first picture's share of a blend."""
    return float(random.beta(_EVEN, _EVEN))


def mixup(scene: Scene, other: Scene, share: float) -> Scene:
    """Both pictures, of one size, shining through each other, with the objects of both."""
    picture = cv2.addWeighted(scene.picture, share, other.picture, 1 - share, 0)
    return joined(np.asarray(picture, np.uint8), [scene, other])


def draw_window(random: np.random.Generator, size: Size) -> Window:
    """A rectangle of the frame's proportions, its area uniform and its centre anywhere, cut to whole pixels inside."""
    area, x, y = random.uniform(0, 1, 3).tolist()
    height, width = (side * math.sqrt(area) for side in size)
    left, top = int(max(x * size[1] - width / 2, 0)), int(max(y * size[0] - height / 2, 0))
    right, bottom = int(min(x * size[1] + width / 2, size[1])), int(min(y * size[0] + height / 2, size[0]))
    return float(left), float(top), float(right), float(bottom)


def cutmix(scene: Scene, other: Scene, window: Window) -> Scene:
    """The scene with a window (whole pixels) that shows another scene of the same size.

    Objects of the other one are cut at the window; those of the first keep what lies around it. What is left too small
    is dropped.
    """
    x1, y1, x2, y2 = (int(side) for side in window)
    if x2 <= x1 or y2 <= y1:
        return scene
    picture = scene.picture.copy()
    picture[y1:y2, x1:x2] = other.picture[y1:y2, x1:x2]
    inside = _still_seen(other, *clipped(other, window))
    around = _still_seen(scene, *_without(scene, window))
    return joined(picture, [around, inside])


def _still_seen(old: Scene, new: Scene, left: NDArray[np.bool_]) -> Scene:
    return new.take(worth_keeping(old.boxes[left], new.boxes, new.outlined))


def _without(scene: Scene, window: Window) -> tuple[Scene, NDArray[np.bool_]]:
    """The scene without what lies in a window, and which of its objects are left: an outline can become up to four."""
    x1, y1, x2, y2 = window
    height, width = scene.size
    touched = np.all((scene.boxes[:, :2] < (x2, y2)) & (scene.boxes[:, 2:] > (x1, y1)), axis=1)
    around = ((0, 0, x1, height), (x2, 0, width, height), (x1, 0, x2, y1), (x1, y2, x2, height))
    outlines: list[Points] = []
    owners: list[int] = []
    for index, parts in enumerate(scene.parts()):
        kept = _pieces(parts, around) if touched[index] else parts
        outlines += kept
        owners += [index] * len(kept)
    return scene.with_outlines(outlines, owners)


def _pieces(parts: list[Points], around: tuple[Window, ...]) -> list[Points]:
    cut = (
        cut_outline(part, piece) for part in parts for piece in around if piece[2] > piece[0] and piece[3] > piece[1]
    )
    return [piece for piece in cut if len(piece)]
