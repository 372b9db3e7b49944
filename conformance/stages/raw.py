"""Stage raw: the numbers that the network gives, output by output, before anything is decided about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from segkit.conformance import reference
from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import OUTPUTS, check, compare
from segkit.conformance.diagnosis import output_faults
from segkit.conformance.gaps import features_of, need
from segkit.conformance.selected import check_selected
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import PRECISIONS, SUBJECTS, SuiteBase
from segkit.conformance.subject import Subject
from segkit.conformance.tolerance import BULK, Bounds, Tolerance
from segkit.core.backend import Anchors, Feature, Precision, Selected
from segkit.core.backend.registry import Registry
from segkit.core.images import ImageBatch, Size
from segkit.core.inference.decode import select

SIZE = (160, 160)

MOST = 200.0
"""Decibels that stand for no error at all: JSON has no infinity."""


@dataclass(frozen=True)
class Case:
    """An export and the batches that run through it.

    Attributes:
        name: the end of the test's id.
        batch, size: of the export.
        runs: (pictures, size) of the batches.
        free: what of the batch and the size is not fixed by the export.
    """

    name: str
    runs: tuple[tuple[int, Size], ...]
    precision: Precision = Precision.FP32
    batch: int = 1
    size: Size = SIZE
    free: tuple[Feature, ...] = ()

    def __str__(self) -> str:
        """Precision and name."""
        return f"{self.precision}-{self.name}"

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the format must offer."""
        return (*self.free, *features_of(self.precision))


DYNAMIC = (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)

CASES = (
    Case("one", runs=((1, SIZE),)),
    Case("any-number-of-pictures", runs=((1, SIZE), (2, SIZE), (5, SIZE)), batch=2),
    Case("wide", runs=((1, (480, 640)),), size=(480, 640)),
    Case("smallest", runs=((1, (64, 64)),), size=(64, 64)),
    Case("dynamic", runs=((1, SIZE), (3, (64, 96)), (2, (160, 128)), (1, (480, 640))), free=DYNAMIC),
    # Formats that free only one of the two.
    Case("dynamic-batch", runs=((1, SIZE), (5, SIZE)), free=(Feature.DYNAMIC_BATCH,)),
    Case("dynamic-size", runs=((1, SIZE), (1, (64, 128))), free=(Feature.DYNAMIC_SIZE,)),
    Case("one", runs=((1, SIZE),), precision=Precision.FP16),
    Case("dynamic", runs=((1, SIZE), (3, (64, 96))), precision=Precision.FP16, free=DYNAMIC),
    Case("one", runs=((1, SIZE),), precision=Precision.INT8),
)


class RawStage(SuiteBase):
    """Every precision, shape and batch that is declared; what becomes of results."""

    @at(Stage.RAW)
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_raw_outputs(
        self, bench: Bench, registry: Registry, settings: Settings, bounds: Bounds, notes: Notes, case: Case
    ) -> None:
        """Boxes, scores, coefficients and prototypes are those of PyTorch, within the precision's tolerance."""
        self.need(registry, settings, case.precision, *case.free, runs=False)
        made = bench.export(imgsz=case.size, batch=case.batch, **bench.switches(*case.features))
        self.need(registry, settings)
        with bench.load(made, *case.features) as predictor:
            for seed, (count, size) in enumerate(case.runs):
                batch = reference.pictures(count, size, seed=seed)
                raw = anchors(predictor.run(batch))
                what = f"{self.format} [{case}] on {count} pictures of {size[0]}x{size[1]}"
                wanted = bench.expected(batch)
                note(notes, raw, wanted, bounds, case.precision, f"{count}x{size[0]}x{size[1]} ")
                hold_against(raw, wanted, batch, bench, bounds.tolerance(case.precision), what)

    @at(Stage.RAW)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=lambda precision: f"{precision}-own")
    def test_raw_outputs_of_trained_weights(
        self, own: Subject, registry: Registry, settings: Settings, bounds: Bounds, notes: Notes, precision: Precision
    ) -> None:
        """The same on the user's own weights, or others that are trained, and a real picture."""
        self.need(registry, settings, precision, runs=False)
        batch, made = own.batch(1), own.export(precision)
        self.need(registry, settings)
        with own.bench.load(made, *features_of(precision)) as predictor:
            raw = anchors(predictor.run(batch))
        what = f"{self.format} [{precision}] on {own.bench.weights.name}"
        wanted = own.bench.expected(batch)
        note(notes, raw, wanted, bounds, precision)
        hold_against(raw, wanted, batch, own.bench, bounds.tolerance(precision), what)

    @at(Stage.RAW)
    @pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=str)
    def test_pictures_of_several_shapes(
        self, registry: Registry, settings: Settings, precision: Precision, subject: Subject
    ) -> None:
        """The first pictures at once: what later stages take for granted, and do not judge where it fails."""
        self.need(registry, settings, precision)
        fault = subject.fault(precision)
        if fault and fault.stage is not Stage.RAW:
            fault.skip()
        if fault:
            raise AssertionError(fault.whole) from fault.error

    @at(Stage.RAW)
    @pytest.mark.parametrize("conf", [0.25, 0.6], ids=lambda conf: f"conf{conf}")
    @pytest.mark.parametrize("precision", [Precision.FP32], ids=str)
    def test_selection_inside_is_that_outside(
        self, golden: Subject, registry: Registry, settings: Settings, precision: Precision, conf: float
    ) -> None:
        """A file that selects detections gives those that are selected from a plain file, by the limits it names."""
        self.need(registry, settings, precision, Feature.NMS)
        bench, batch = golden.bench, golden.batch(4)
        options = {"imgsz": golden.size, "batch": 2}
        plain = bench.export(**options)
        selecting = bench.export(**options, conf=conf, **bench.switches(Feature.NMS))
        limits = selecting.metadata.selection
        assert limits is not None, "a file with nms names its limits in its metadata"
        assert limits.conf == conf
        with bench.load(plain) as one, bench.load(selecting, Feature.NMS) as other:
            raw, selected = anchors(one.run(batch)), other.run(batch)
        assert isinstance(selected, Selected), f"a file with nms gave {type(selected).__name__}, not Selected"
        wanted = select(raw, conf=limits.conf, iou=limits.iou, max_det=limits.max_det, agnostic=limits.agnostic)
        check_selected(selected, wanted, golden.bounds.tolerance(precision), f"{self.format} [nms]")

    @at(Stage.RAW)
    def test_outputs_belong_to_the_caller(self, bench: Bench) -> None:
        """A result does not change when the predictor runs again or is closed, and shares no memory with the input."""
        need(bench.backend.format)
        first, second = (reference.pictures(1, SIZE, seed=seed) for seed in (7, 8))
        predictor = bench.load(bench.export(imgsz=SIZE, batch=1))
        raw = anchors(predictor.run(first))
        before = {output: getattr(raw, output).copy() for output in OUTPUTS}
        again = anchors(predictor.run(second))
        _unchanged(before, raw, "after the next run()")
        for output in OUTPUTS:
            values = getattr(raw, output)
            assert not np.shares_memory(values, getattr(again, output)), f"{output} of two runs share memory"
            assert not np.shares_memory(values, first.f32_nchw), f"{output} shares memory with the input"
        predictor.close()
        _unchanged(before, raw, "after close()")


def hold_against(
    raw: Anchors, wanted: Anchors, batch: ImageBatch, bench: Bench, tolerance: Tolerance, what: str
) -> None:
    """The deviations must be within the tolerance.

    Raises:
        AssertionError: they are not. Where the input explains it the test is skipped: stage preprocess says so.
    """
    __tracebackhide__ = True
    try:
        check(raw, wanted, tolerance, what)
    except AssertionError as error:
        if words := bench.input_fault(raw, batch):
            pytest.skip(f"not judged, because of what stage {Stage.PREPROCESS} finds: {words}")
        likely = [f"likely: {words}" for words in output_faults(raw, wanted, batch.size)]
        raise AssertionError("\n".join([str(error), *likely])) from None


def note(notes: Notes, raw: Anchors, wanted: Anchors, bounds: Bounds, precision: Precision, where: str = "") -> None:
    """Every figure of every output, whether it holds or not."""
    ratio = bounds.of(precision, "raw SNR")
    assert ratio is not None
    tolerance = bounds.tolerance(precision)
    for item in compare(raw, wanted):
        largest, name = bounds.of(precision, f"raw {item.output}"), f"{where}{item.output}"
        assert largest is not None
        spared = not item.every(tolerance)
        figures = [("largest error", item.maximum, not spared)]
        figures += [(f"error of {BULK:.1%}", item.bulk, True)] if spared else []
        for figure, value, judged in figures:
            within = not judged or largest.holds(value)
            notes.figure(f"{name}, {figure}", value, largest.unit, str(largest) if judged else "", within=within)
        notes.figure(f"{name}, mean error", item.mean, largest.unit)
        snr = min(item.snr, MOST)
        notes.figure(f"{name}, SNR", snr, "dB", str(ratio), within=ratio.holds(snr))


def _unchanged(before: dict[str, NDArray[np.float32]], raw: Anchors, when: str) -> None:
    for output, values in before.items():
        same = np.array_equal(values, getattr(raw, output), equal_nan=True)
        assert same, f"{output} of an earlier run changed {when}"
