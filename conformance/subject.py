"""What is tested with: a model, pictures, and labelled pictures where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import check
from segkit.conformance.diagnosis import output_faults
from segkit.conformance.gaps import features_of
from segkit.conformance.golden import held_out
from segkit.conformance.report import told_of
from segkit.conformance.stage import Stage
from segkit.conformance.store import Shelf
from segkit.conformance.tolerance import Bounds, Tolerance
from segkit.core.backend import Anchors, Precision
from segkit.core.backend.faults import words
from segkit.core.backend.pipeline import ExportResult
from segkit.core.images import ImageBatch, Picture, Size
from segkit.core.images.sources import open_sources

SHOWN, OBSERVED = 24, 16
"""Pictures that are looked at, and others that int8 is calibrated with."""


@dataclass(frozen=True)
class Labelled:
    """A data set: its description, and the split that is used."""

    data: Path | str
    split: str


@dataclass(frozen=True)
class Fault:
    """What is wrong with raw outputs.

    Attributes:
        stage: the one that is red for it.
        words: in one line.
        whole: with every figure.
        error: what was raised, where there are no outputs at all.
    """

    stage: Stage
    words: str
    whole: str
    error: Exception | None = None

    def skip(self) -> NoReturn:
        """End a test that cannot judge for it."""
        pytest.skip(f"not judged, because of what stage {self.stage} has found: {self.words}")


class Subject:
    """A model on the bench, and the pictures that it is shown.

    Attributes:
        bench: exports of the model.
        size: of its input.
        pictures: BGR.
        bounds: what its outputs are held against.
        labelled: a data set to score on, or None.
        shared: what other formats' runs of this minute have found out about the model.
        scores: mAP of boxes and of masks of the weights themselves over `labelled`, once they are known.
    """

    shared: Shelf | None = None
    scores: list[float] | None = None

    def __init__(
        self,
        name: str,
        bench: Bench,
        pictures: Sequence[Picture],
        labelled: Labelled | None,
        bounds: Bounds | None = None,
    ) -> None:
        """`name` is how messages call it; `bounds` are the backend's."""
        self.bounds = bounds or Bounds()
        self.name, self.bench, self.pictures, self.labelled = name, bench, pictures, labelled
        self._faults: dict[Precision, Fault | None] = {}

    @property
    def size(self) -> Size:
        """(height, width) that the weights were trained at."""
        return self.bench.size

    def export(self, precision: Precision) -> ExportResult:
        """The plain artefact in a precision."""
        features = () if precision is self.bench.plain else features_of(precision)
        return self.bench.export(imgsz=self.size, batch=1, **self.bench.switches(*features))

    def batch(self, count: int | None = None) -> ImageBatch:
        """The first pictures as input."""
        return ImageBatch(self.pictures[:count], self.size)

    @cached_property
    def expected(self) -> Anchors:
        """PyTorch's outputs for all pictures: every precision is held against them."""
        return self.bench.expected(self.batch())

    def fault(self, precision: Precision) -> Fault | None:
        """What is wrong with raw outputs of this precision; None where they are right. Stage raw asks, too: what others
        do not judge for it is red there.
        """
        if precision not in self._faults:
            made = self.export(precision)
            try:
                self._faults[precision] = self._look(made, precision)
            except Exception as error:
                what = f"running the first pictures fails: {words(error)}"
                self._faults[precision] = Fault(Stage.RAW, what.splitlines()[0], what, error)
        return self._faults[precision]

    def must_be_sound(self, precision: Precision) -> None:
        """Skip what follows from raw outputs that are wrong: one fault is one red stage, the one that names it."""
        if fault := self.fault(precision):
            fault.skip()

    def must_run(self, precision: Precision | None = None) -> None:
        """Skip what only asks for outputs, right or wrong, where there are none: of a plain artefact unless told."""
        if (fault := self.fault(precision or self.bench.plain)) and fault.error:
            fault.skip()

    def _look(self, made: ExportResult, precision: Precision) -> Fault | None:
        batch = self.batch(4)
        with self.bench.load(made, *features_of(precision)) as predictor:
            raw = anchors(predictor.run(batch))
            fault = fault_of(raw, batch, self.bench, self.bounds.tolerance(precision))
            before = raw.scores.copy()
            predictor.run(ImageBatch.from_u8(255 - batch.u8_nhwc))
        if fault is None and not np.array_equal(before, raw.scores, equal_nan=True):
            return Fault(Stage.RAW, "results change with the next run", "results change with the next run")
        return fault


def fault_of(raw: Anchors, batch: ImageBatch, bench: Bench, tolerance: Tolerance) -> Fault | None:
    """What is wrong with raw outputs, and which stage says so: input in another form, or anything else."""
    wanted = bench.expected(batch)
    try:
        check(raw, wanted, tolerance, "it")
    except AssertionError as error:
        whole = str(error)
        if found := bench.input_fault(raw, batch):
            return Fault(Stage.PREPROCESS, found, whole)
        hints = [*output_faults(raw, wanted, batch.size)]
        figures = [line.removeprefix("! ") for line in whole.splitlines() if line.startswith("! ")]
        said = "; ".join(hints or figures) or " ".join(told_of(whole))
        return Fault(Stage.RAW, said, "\n".join([whole, *(f"likely: {hint}" for hint in hints)]))
    return None


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
