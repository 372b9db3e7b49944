"""What is tested with: a model, pictures, and labelled pictures where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import check
from segkit.conformance.diagnosis import input_fault, output_faults
from segkit.conformance.gaps import features_of
from segkit.conformance.golden import held_out
from segkit.conformance.stage import Stage
from segkit.conformance.tolerance import TOLERANCES
from segkit.core.backend import Anchors, Precision
from segkit.core.backend.pipeline import ExportResult
from segkit.core.backend.registry import default_registry
from segkit.core.backend.returned import metadata_of
from segkit.core.images import ImageBatch, Picture, Size
from segkit.core.images.sources import open_sources

if TYPE_CHECKING:
    from segkit.core.metrics import SegmentationMetrics

SHOWN, OBSERVED = 24, 16
"""Pictures that are looked at, and others that int8 is calibrated with."""


@dataclass(frozen=True)
class Labelled:
    """A data set: its description, and the split that is used."""

    data: Path | str
    split: str


class Subject:
    """A model on the bench, and the pictures that it is shown.

    Attributes:
        bench: exports of the model.
        size: of its input.
        pictures: BGR.
        labelled: a data set to score on, or None.
        again: a second export with the same options, once it has been made.
        scores: those of the weights themselves over `labelled`, once they are known.
    """

    again: ExportResult | None = None
    scores: SegmentationMetrics | None = None

    def __init__(self, name: str, bench: Bench, pictures: Sequence[Picture], labelled: Labelled | None) -> None:
        """`name` is how messages call it."""
        self.name, self.bench, self.pictures, self.labelled = name, bench, pictures, labelled
        self._sound: dict[Precision, tuple[Stage, str] | None] = {}

    @cached_property
    def size(self) -> Size:
        """(height, width) that the weights were trained at."""
        return own_size(self.bench.weights)

    def export(self, precision: Precision) -> ExportResult:
        """The plain artefact in a precision."""
        features = features_of(precision)
        return self.bench.export(imgsz=self.size, batch=1, **self.bench.switches(*features))

    def batch(self, count: int | None = None) -> ImageBatch:
        """The first pictures as input."""
        return ImageBatch(self.pictures[:count], self.size)

    def unsound(self, precision: Precision) -> tuple[Stage, str] | None:
        """The stage that has found raw outputs of this precision wrong, and how; None where they are right."""
        if precision not in self._sound:
            batch = self.batch(4)
            with self.bench.load(self.export(precision), *features_of(precision)) as predictor:
                raw = anchors(predictor.run(batch))
                fault = fault_of(raw, batch, self.bench, precision)
                before = raw.scores.copy()
                predictor.run(ImageBatch.from_u8(255 - batch.u8_nhwc))
            if fault is None and not np.array_equal(before, raw.scores):
                fault = Stage.RAW, "results change with the next run"
            self._sound[precision] = fault
        return self._sound[precision]

    def must_be_sound(self, precision: Precision) -> None:
        """Skip what follows from raw outputs that are wrong: one fault is one red stage, the one that names it."""
        if fault := self.unsound(precision):
            pytest.skip(f"not judged, because of what stage {fault[0]} has found: {fault[1]}")


def fault_of(raw: Anchors, batch: ImageBatch, bench: Bench, precision: Precision) -> tuple[Stage, str] | None:
    """What is wrong with raw outputs, and which stage says so: input in another form, or anything else."""
    wanted = bench.expected(batch)
    try:
        check(raw, wanted, TOLERANCES[precision], "it")
    except AssertionError as error:
        if words := input_fault(raw, batch, bench.expected):
            return Stage.PREPROCESS, words
        return Stage.RAW, "; ".join(output_faults(raw, wanted, batch.size)) or str(error).splitlines()[0]
    return None


def own_size(weights: Path) -> Size:
    """The input size that weights were trained at."""
    found = metadata_of(default_registry().recognise(weights), weights)
    return found.imgsz if found else (640, 640)


def generated(folder: Path) -> tuple[list[Picture], list[Picture], Path]:
    """Generated shapes: pictures to look at, others to calibrate with, and the data set that they are of."""
    data = held_out(folder / "shapes", SHOWN + OBSERVED)
    pictures = pictures_of(data.parent / "images" / "test", SHOWN + OBSERVED)
    # Two of other shapes: an input with borders, above and beside.
    shown = [pictures[0][:200], pictures[1][:, 60:220], *pictures[2:SHOWN]]
    return shown, pictures[SHOWN:], data


def pictures_of(source: Any, count: int) -> list[Picture]:
    """The first pictures of a source."""
    items = (item.picture for item in open_sources(source))
    return list(islice((picture for picture in items if picture is not None), count))
