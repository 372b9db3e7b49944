"""What the model sees beside what is labelled: two sheets of pictures for each of the first batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.images import PAD_VALUE, Letterbox, Picture
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.results import Results
from segkit.core.inference.saving import write_picture
from segkit.core.metrics import Found, Truth
from segkit.core.metrics.coding import Crop
from segkit.core.metrics.masks import masks_of
from segkit.core.rle import Rle

BATCHES, ON_SHEET = 3, 16
CONFIDENT = 0.25
"""What prediction shows unless told otherwise; scoring looks much further down."""

SIDE, GAP = 480, 6


class Sheets:
    """Collects tiles and writes `val_batch0_labels.jpg`, `val_batch0_pred.jpg` and so on once a batch is complete."""

    def __init__(self, folder: Path, names: Mapping[int, str], batch: int) -> None:
        """Nothing is written yet; a sheet has `batch` pictures, 16 at most."""
        self._folder, self._names = folder, names
        self._count = min(batch, ON_SHEET)
        self._number = 0
        self._tiles: tuple[list[Picture], list[Picture]] = ([], [])

    @property
    def full(self) -> bool:
        """Whether the last sheet is written: there is room for no more."""
        return self._number == BATCHES

    def add(self, picture: Picture, found: Found, truth: Truth) -> None:
        """One more picture; nothing happens once the last sheet is full.

        Raises:
            OutputError: a sheet cannot be written.
        """
        if self.full:
            return
        box = Letterbox.fit((picture.shape[0], picture.shape[1]), (SIDE, SIDE))
        small = cv2.resize(picture, box.resized[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        sure = np.flatnonzero(found.confidence > CONFIDENT)
        predicted = np.column_stack([found.boxes, found.confidence, found.classes])[sure]
        labelled = np.column_stack([truth.boxes, np.ones(len(truth.boxes)), truth.classes])
        every = np.arange(len(truth))
        self._tiles[0].append(self._tile(small, box, labelled, _crops(truth.masks, every), confidence=False))
        self._tiles[1].append(self._tile(small, box, predicted, _crops(found.masks, sure), confidence=True))
        if len(self._tiles[0]) == self._count:
            self.close()

    def close(self) -> None:
        """Write the sheets of the batch that is not full.

        Raises:
            OutputError: a sheet cannot be written.
        """
        if not self._tiles[0]:
            return
        for kind, tiles in zip(("labels", "pred"), self._tiles, strict=True):
            write_picture(self._folder / f"val_batch{self._number}_{kind}.jpg", _sheet(tiles))
            tiles.clear()
        self._number += 1

    def _tile(
        self, small: Picture, box: Letterbox, rows: NDArray[np.floating], crops: Sequence[Crop], *, confidence: bool
    ) -> Picture:
        """(SIDE, SIDE, 3): the picture made to fit, with objects (N, 6) x1, y1, x2, y2, confidence, class drawn in."""
        drawn = rows.astype(np.float32)
        drawn[:, :4] *= np.array(box.scale[::-1] * 2, np.float32)
        masks = InstanceMasks.from_dense(_made_small(crops, box))
        tile = np.full((SIDE, SIDE, 3), PAD_VALUE, np.uint8)
        height, width = box.resized
        result = Results(small, "", self._names, drawn, masks)
        tile[box.top : box.top + height, box.left : box.left + width] = result.plot(conf=confidence)
        return tile


def _crops(masks: Sequence[Rle] | None, which: NDArray[np.int64]) -> list[Crop]:
    known = masks_of(masks or ())
    return [known.crop(index) for index in which.tolist()] if masks is not None else []


def _made_small(crops: Sequence[Crop], box: Letterbox) -> NDArray[np.bool_]:
    """(N, h, w) masks of a picture as it is drawn."""
    dense = np.zeros((len(crops), *box.resized), np.bool_)
    for canvas, (mask, top, left) in zip(dense, crops, strict=True):
        rows, columns = (
            (round(start * scale), round((start + length) * scale))
            for start, length, scale in zip((top, left), mask.shape, box.scale, strict=True)
        )
        size = (columns[1] - columns[0], rows[1] - rows[0])
        if min(size) > 0:
            bits = np.ascontiguousarray(mask).view(np.uint8)
            canvas[slice(*rows), slice(*columns)] = cv2.resize(bits, size, interpolation=cv2.INTER_NEAREST)
    return dense


def _sheet(tiles: Sequence[Picture]) -> Picture:
    """Tiles in a grid, row by row, as square as it gets."""
    across = ceil(sqrt(len(tiles)))
    down = ceil(len(tiles) / across)
    step = SIDE + GAP
    sheet = np.full((down * step + GAP, across * step + GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, across)
        sheet[GAP + row * step :, GAP + column * step :][:SIDE, :SIDE] = tile
    return sheet
