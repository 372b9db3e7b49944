"""One sample as a network is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.data.augment.scene import Scene
from segkit.core.data.labels import Labels
from segkit.core.data.raster import densify_each, fill_each, overlapping, separate
from segkit.core.images.batch import Picture


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """A picture with N objects. All arrays are the sample's own: a caller may write to them.

    Attributes:
        index: of the data set's sample it began with.
        path: that sample's picture.
        picture: (H, W, 3) RGB uint8; BGR in the share of samples that the argument `bgr` says.
        labels: the N objects, in the order of the masks: `labels.classes` (N,) int64, `labels.boxes` (N, 4) float32
            x1, y1, x2, y2 in units of the picture's sides. An object of unknown shape has no outline, and its box as
            its mask.
        masks: with overlap_mask one map (H / r, W / r), r the mask ratio: 0 is background, i + 1 object i, the larger
            objects first and the smaller ones above; uint8, int32 for more than 255 objects. Without, (N, H / r, W / r)
            uint8 of zeros and ones. A small or hidden object may have no pixel.
    """

    index: int
    path: Path
    picture: Picture
    labels: Labels
    masks: NDArray[np.uint8] | NDArray[np.int32]

    @property
    def boxes_cxcywh(self) -> NDArray[np.float32]:
        """(N, 4) float32 centre x, y, width, height in units of the picture's sides."""
        return centred_boxes(self.labels.boxes)


def finished(
    scene: Scene, index: int, path: Path, *, ratio: int = 4, overlap: bool = True, bgr: bool = False
) -> TrainingSample:
    """A scene as a sample: its masks drawn from its outlines, once, and its channels in the network's order.

    Both sides of the scene are multiples of `ratio`.
    """
    masks, order = drawn_masks(scene, ratio, overlap=overlap)
    picture = scene.picture.copy() if bgr else cv2.cvtColor(scene.picture, cv2.COLOR_BGR2RGB)
    return TrainingSample(index, path, np.asarray(picture, np.uint8), scene.labels()[order], masks)


def drawn_masks(
    scene: Scene, ratio: int, *, overlap: bool
) -> tuple[NDArray[np.uint8] | NDArray[np.int32], NDArray[np.int64]]:
    """The masks of a scene's N objects, as a sample has them, and (N,) the objects in the order of the masks."""
    points, counts = densify_each(scene.points, scene.counts)
    crops = fill_each(points.astype(np.int32), counts, scene.firsts, scene.size, ratio)
    size = scene.size[0] // ratio, scene.size[1] // ratio
    if overlap:
        together = overlapping(crops, size)
        return together.map, together.order
    return separate(crops, size), np.arange(len(scene))


def centred_boxes(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (N, 4) x1, y1, x2, y2 as centre x, y, width, height."""
    low, high = corners[:, :2], corners[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)
