"""What the model sees beside what is labelled: two sheets of pictures for each of the first batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core import rle
from segkit.core.images import PAD_VALUE, Letterbox, Picture
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.results import Results
from segkit.core.inference.saving import write_picture
from segkit.core.metrics import Found, Truth
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

    def add(self, result: Results, found: Found, truth: Truth) -> None:
        """One more picture; nothing happens once the last sheet is full.

        Raises:
            OutputError: a sheet cannot be written.
        """
        if self._number == BATCHES:
            return
        sure = np.flatnonzero(found.confidence > CONFIDENT)
        masks = [(found.masks or [])[index] for index in sure.tolist()] if found.masks is not None else []
        predicted = np.column_stack([found.boxes, found.confidence, found.classes])[sure]
        labelled = np.column_stack([truth.boxes, np.ones(len(truth.boxes)), truth.classes])
        picture = result.orig_img
        self._tiles[0].append(self._tile(picture, labelled, truth.masks or (), confidence=False))
        self._tiles[1].append(self._tile(picture, predicted, masks, confidence=True))
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

    def _tile(self, picture: Picture, rows: NDArray[np.floating], masks: Sequence[Rle], *, confidence: bool) -> Picture:
        """(SIDE, SIDE, 3): the picture made to fit, with objects (N, 6) x1, y1, x2, y2, confidence, class drawn in."""
        box = Letterbox.fit((picture.shape[0], picture.shape[1]), (SIDE, SIDE))
        height, width = box.resized
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        drawn = rows.astype(np.float32)
        drawn[:, :4] *= np.array(box.scale[::-1] * 2, np.float32)
        dense = np.zeros((len(masks), height, width), np.bool_)
        for canvas, mask in zip(dense, masks, strict=True):
            bits = np.ascontiguousarray(rle.decode(mask)).view(np.uint8)
            canvas[...] = cv2.resize(bits, (width, height), interpolation=cv2.INTER_NEAREST)
        result = Results(small.astype(np.uint8), "", self._names, drawn, InstanceMasks.from_dense(dense))
        tile = np.full((SIDE, SIDE, 3), PAD_VALUE, np.uint8)
        tile[box.top : box.top + height, box.left : box.left + width] = result.plot(conf=confidence)
        return tile


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
