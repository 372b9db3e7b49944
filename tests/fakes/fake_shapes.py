"""A format whose "network" really segments: it finds bright red, green and blue shapes, so that the truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segkit.core.backend import FULL, Anchors, Backend, Feature, Format, LoadOptions, Metadata, Predictor, Seal, Support
from segkit.core.backend.base import Selected
from segkit.core.images import ImageBatch

NAMES = {0: "red", 1: "green", 2: "blue"}


class Shapes(Backend):
    """Nothing is read from disk; `size` is the input, `dynamic` whether it is free."""

    format = Format(
        name="shapes",
        title="Shapes",
        artefact="{stem}.shapes",
        suffixes=(".shapes",),
        support=Support(dict.fromkeys(Feature, FULL)),
    )

    def __init__(self, size: int = 256, dynamic: bool = True, selected: bool = False) -> None:
        self.predictor = ShapesPredictor(selected)
        seal = Seal(dynamic_batch=dynamic, dynamic_size=dynamic, coefficients=len(NAMES))
        self.metadata = Metadata(imgsz=(size, size), names=NAMES, segkit=seal)

    def read_metadata(self, path: Path) -> Metadata:
        return self.metadata

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return self.predictor


class ShapesPredictor(Predictor):
    """One object a connected region of a colour. `batches` tells how many pictures each run had."""

    def __init__(self, selected: bool) -> None:
        self.selected = selected
        self.batches: list[int] = []

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        self.batches.append(len(batch))
        (height, width), count = batch.size, len(NAMES)
        prototypes = np.empty((len(batch), count, height // 4, width // 4), np.float32)
        found: list[list[tuple[int, ...]]] = []
        for index, picture in enumerate(batch.u8_nhwc):
            regions = []
            for colour in range(count):
                rest = np.delete(picture, colour, axis=2).max(axis=2)
                on = ((picture[..., colour] > 150) & (rest < 80)).astype(np.uint8)
                low = cv2.resize(on.astype(np.float32), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
                prototypes[index, colour] = low * 10 - 5
                _, _, stats, _ = cv2.connectedComponentsWithStats(on, connectivity=8)
                regions += [(colour, *row) for row in stats[1:].tolist() if row[4] >= 8]
            found.append(regions)
        return self._selected(found, prototypes) if self.selected else self._anchors(found, prototypes)

    def _anchors(self, found: list[list[tuple[int, ...]]], prototypes: np.ndarray) -> Anchors:
        count, most = len(NAMES), max([1, *map(len, found)])
        boxes = np.ones((len(found), 4, most), np.float32)
        scores = np.zeros((len(found), count, most), np.float32)
        coefficients = np.zeros((len(found), count, most), np.float32)
        for index, regions in enumerate(found):
            for column, (colour, x, y, w, h, area) in enumerate(regions):
                boxes[index, :, column] = x + w / 2, y + h / 2, w, h
                scores[index, colour, column] = _score(area)
                coefficients[index, colour, column] = 1
        return Anchors(boxes, scores, coefficients, prototypes)

    def _selected(self, found: list[list[tuple[int, ...]]], prototypes: np.ndarray) -> Selected:
        tables = [np.array(regions, np.float32).reshape(-1, 6) for regions in found]
        corners = [np.column_stack([t[:, 1:3], t[:, 1:3] + t[:, 3:5]]) for t in tables]
        return Selected(
            tuple(corners),
            tuple(_score(t[:, 5]).astype(np.float32) for t in tables),
            tuple(t[:, 0].astype(np.int64) for t in tables),
            tuple(np.eye(len(NAMES), dtype=np.float32)[t[:, 0].astype(int)] for t in tables),
            prototypes,
        )


def _score(area: np.ndarray | int) -> np.ndarray:
    """Larger regions are surer: 0.5 to 0.9."""
    return 0.5 + 0.4 * (1 - np.exp(-np.asarray(area) / 1000))
