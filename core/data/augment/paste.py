"""Copy-paste: objects cut out along their outlines and pasted where they hide little (arXiv 2012.07177)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.clip import clipped
from segkit.core.data.augment.scene import Scene, joined
from segkit.core.data.raster import fill

MOST_HIDDEN = 0.3
"""An object is pasted where its box and any that is there have less than this share of the smaller one in common:
neither it nor anything small beneath it may be labelled where it cannot be seen.
"""


def draw_chosen(random: np.random.Generator, count: int, chance: float) -> NDArray[np.bool_]:
    """(count,) which objects are to be pasted."""
    return np.asarray(random.uniform(0, 1, count) < chance)


def paste(scene: Scene, other: Scene, chosen: NDArray[np.bool_]) -> Scene:
    """The scene with objects of another one at their places.

    Args:
        scene: where they are pasted.
        other: where they come from, of any size; what lies beyond the scene is cut off. The mirrored scene, say.
        chosen: (N,) bool, those of `other` that are wanted; of them are pasted those of known shape that hide little.
    """
    common = min(scene.size[0], other.size[0]), min(scene.size[1], other.size[1])
    cut, left = clipped(other, (0.0, 0.0, float(common[1]), float(common[0])))
    fits = common_share(cut.boxes, scene.boxes) < MOST_HIDDEN
    added = cut.take(chosen[left] & fits & cut.outlined)
    if not len(added):
        return scene
    picture = scene.picture.copy()
    for parts in added.parts():
        mask, top, begin = fill([part.astype(np.int32) for part in parts], common)
        window = np.s_[top : top + mask.shape[0], begin : begin + mask.shape[1]]
        picture[window][mask] = other.picture[window][mask]
    return joined(picture, [scene, added])


def common_share(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) the largest share that each box (N, 4) and one of the others (M, 4) have in common, of the smaller one."""
    if not len(boxes) or not len(others):
        return np.zeros(len(boxes), np.float32)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low).clip(0).prod(axis=2)
    areas, theirs = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    smaller = np.minimum(areas[:, None], theirs[None])
    return np.asarray((common / np.maximum(smaller, 1e-9)).max(axis=1), np.float32)
