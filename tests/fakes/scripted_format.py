"""A format whose files say in JSON what their model sees: for tests that compare models.

Keys: `objects` (rows of cx, cy, w, h in input pixels, score, class; every mask fills its box), `imgsz`, `nms` (the
graph selects), `conf` (the limit built into it), `noise` (output → number added to all of it).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segkit.core.backend import (
    FULL,
    Anchors,
    Backend,
    Feature,
    Format,
    Gap,
    GapKind,
    Inspection,
    LoadOptions,
    Metadata,
    Predictor,
    Seal,
    Selected,
    Selection,
    Support,
    hookimpl,
)
from segkit.core.errors import ModelFileError
from segkit.core.images import ImageBatch

GAP = Gap(GapKind.NOT_APPLICABLE, "a script is written by hand")
ANCHORS, CLASSES, MASKS = 8, 3, 4


class Scripted(Backend):
    format = Format(
        name="scripted",
        title="Scripted",
        artefact="{stem}.scripted",
        suffixes=(".scripted",),
        support=Support({feature: FULL if feature is Feature.PREDICT else GAP for feature in Feature}),
    )

    def read_metadata(self, path: Path) -> Metadata | None:
        names = {0: "square", 1: "circle", 2: "cat"}
        wanted = script(path)
        limits = Selection(conf=wanted["conf"]) if "conf" in wanted else None
        return Metadata(imgsz=wanted.get("imgsz", (64, 64)), names=names, segkit=Seal(selection=limits))

    def inspect(self, path: Path) -> Inspection:
        if script(path).get("broken"):
            raise KeyError("an inspector that stumbles")
        return Inspection(producer="a test")

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return ScriptedPredictor(script(path))


def script(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ModelFileError(path, "it is no script") from None
    return read


class ScriptedPredictor(Predictor):
    def __init__(self, wanted: dict[str, Any]) -> None:
        self.rows = np.array(wanted.get("objects", []), np.float32).reshape(-1, 6)
        self.nms, self.noise = wanted.get("nms", False), wanted.get("noise", {})

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        (height, width), count, seen = batch.size, len(batch), len(self.rows)
        prototypes = np.ones((count, MASKS, height // 4, width // 4), np.float32)
        if self.nms:
            centre, half = self.rows[:, :2], self.rows[:, 2:4] / 2
            return Selected(
                (np.hstack([centre - half, centre + half]),) * count,
                (self.rows[:, 4].copy(),) * count,
                (self.rows[:, 5].astype(np.int64),) * count,
                (np.ones((seen, MASKS), np.float32),) * count,
                prototypes,
            )
        boxes, scores = np.ones((count, 4, ANCHORS), np.float32), np.zeros((count, CLASSES, ANCHORS), np.float32)
        boxes[:, :, :seen] = self.rows[:, :4].T
        scores[:, self.rows[:, 5].astype(int), range(seen)] = self.rows[:, 4]
        outputs = {"boxes": boxes, "scores": scores, "prototypes": prototypes}
        outputs["coefficients"] = np.ones((count, MASKS, ANCHORS), np.float32)
        return Anchors(**{name: value + np.float32(self.noise.get(name, 0)) for name, value in outputs.items()})


@hookimpl
def segkit_backends() -> list[Backend]:
    return [Scripted()]
