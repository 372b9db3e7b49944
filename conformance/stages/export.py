"""Stage export: one whole artefact in its place, or nothing at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segkit.conformance import reference
from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import check, compare, unequal
from segkit.conformance.killed import kill_half_way
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import SuiteBase
from segkit.conformance.store import needs_torch
from segkit.conformance.subject import Subject
from segkit.conformance.tolerance import UNTRAINED
from segkit.core.backend import Feature, Precision
from segkit.core.backend.format import Format
from segkit.core.backend.pipeline import ExportResult
from segkit.core.backend.registry import Registry
from segkit.core.errors import OptionError, OutputError, SegkitError

SCALES = ("n", "s", "m", "l", "x")
SMALL = (64, 64)
"""Input of the networks of all scales: they are exported, not judged by what they see."""

ODD_NAME = "मॉडल ü 模型 v1.0"
"""Of a folder and of a model: blanks, dots, and letters of several scripts."""


class ExportStage(SuiteBase):
    """Names, metadata, places, repetition, scales."""

    @at(Stage.EXPORT)
    def test_artefact_is_named_by_its_format(self, golden: Subject, registry: Registry, settings: Settings) -> None:
        """The artefact is what the format says it is called, alone in its folder, and recognised."""
        _must_export(golden.bench.backend.format)
        self.need(registry, settings, runs=False)
        made = golden.export(golden.bench.plain)
        names = [item.name for item in made.path.parent.iterdir()]
        assert names == [made.path.name], f"the folder of the target holds {', '.join(names)}"
        assert made.path.name.startswith("model"), f"{made.path.name} is not named after its model"
        found = registry.recognise(made.path)
        assert found.format.name == self.format, f"{made.path.name} is taken for {found.format.name}"

    @at(Stage.EXPORT)
    def test_metadata_is_complete(self, golden: Subject, registry: Registry, settings: Settings) -> None:
        """What a reader needs is there: names, size, stride, batch, precision, how it was made."""
        _must_export(golden.bench.backend.format)
        self.need(registry, settings, runs=False)
        read = golden.bench.backend.read_metadata(golden.export(golden.bench.plain).path)
        assert read is not None, "the artefact says nothing about itself"
        assert read.segkit is not None, "the artefact has no block of segkit's own"
        assert read.task == "segment"
        assert read.names == golden.bench.about.names
        assert (read.imgsz, read.batch, read.stride) == (golden.size, 1, golden.bench.about.stride)
        assert read.date, "the date of the export is missing"
        assert read.segkit.precision is golden.bench.plain
        assert read.segkit.toolchain.get("segkit"), "the version of segkit is missing"

    @at(Stage.EXPORT)
    def test_repeated_exports_are_equal(
        self, golden: Subject, registry: Registry, settings: Settings, again: ExportResult
    ) -> None:
        """Two exports with the same options compute the same, bit by bit where one file does so twice."""
        self.need(registry, settings)
        golden.must_run()
        batch = golden.batch(1)
        with golden.bench.load(golden.export(golden.bench.plain)) as one, golden.bench.load(again) as other:
            first, repeated, second = (anchors(each.run(batch)) for each in (one, one, other))
        if differing := unequal(first, second):
            # A runtime that sums in any order is no fault of the exporter's.
            assert unequal(first, repeated), f"{' and '.join(differing)} of two exports differ"
            limits = golden.bounds.tolerance(golden.bench.plain)
            far = [str(item) for item in compare(second, first) if not item.within(limits)]
            assert not far, f"two exports differ by more than one file does from run to run: {'; '.join(far)}"

    @at(Stage.EXPORT)
    def test_any_path_will_do(
        self, golden: Subject, registry: Registry, settings: Settings, again: ExportResult
    ) -> None:
        """A folder and a name with blanks and with letters of several scripts: written, recognised, read, loaded."""
        self.need(registry, settings, runs=False)
        backend = registry.get(self.format)
        assert ODD_NAME in str(again.path)
        assert registry.recognise(again.path).format.name == self.format
        assert backend.read_metadata(again.path) == again.metadata
        self.need(registry, settings)
        golden.must_run()
        backend.load(again.path, backend.format.parse_load_options({})).close()

    @at(Stage.EXPORT)
    def test_killed_export_leaves_nothing(
        self, golden: Subject, registry: Registry, settings: Settings, tmp_path: Path
    ) -> None:
        """Whoever kills an export half-way finds neither half an artefact nor anything beside it."""
        fmt = golden.bench.backend.format
        _must_export(fmt)
        self.need(registry, settings, runs=False)
        golden.export(golden.bench.plain)
        needs_torch()
        assert fmt.export_options is not None
        target = tmp_path / "out" / fmt.artefact_name("model", fmt.export_options())
        left = kill_half_way(registry, self.format, golden.bench.weights, target, golden.size)
        assert not left, f"a killed export leaves {', '.join(left)}"
        # It may have been done already; then it is whole.
        assert not target.exists() or golden.bench.backend.read_metadata(target) is not None

    @at(Stage.EXPORT)
    def test_target_that_cannot_be_written_is_refused(
        self, golden: Subject, registry: Registry, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is told before any work is done."""
        backend = golden.bench.backend
        _must_export(backend.format)
        self.need(registry, settings, runs=False)
        monkeypatch.setattr(type(backend), "export", _never)
        with pytest.raises(OutputError):
            golden.bench.export_to(_unwritable(tmp_path), imgsz=golden.size, batch=1)

    @at(Stage.EXPORT)
    def test_unknown_options_are_refused_before_work(
        self, golden: Subject, registry: Registry, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A misspelt option or a value that cannot be costs one line, not minutes."""
        backend = golden.bench.backend
        _must_export(backend.format)
        self.need(registry, settings, runs=False)
        monkeypatch.setattr(type(backend), "export", _never)
        for wrong in ({"imgzs": 64}, {"batch": 0}, {"imgsz": "wide"}):
            with pytest.raises(SegkitError) as refusal:
                golden.bench.export_to(tmp_path / "out", **wrong)
            assert isinstance(refusal.value, OptionError), f"{wrong} gives {type(refusal.value).__name__}"
            assert "\n" not in str(refusal.value)
        assert not (tmp_path / "out").exists()

    @at(Stage.EXPORT)
    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"fp32-{scale}")
    def test_every_scale(
        self, registry: Registry, settings: Settings, notes: Notes, scale: str, tmp_path: Path, golden: Subject
    ) -> None:
        """All five sizes of the network, on a small input: exported, loaded, and right."""
        _must_export(registry.get(self.format).format)
        self.need(registry, settings, Precision.FP32, runs=False)
        if settings.quick and scale != SCALES[0]:
            pytest.skip("the larger scales are left out of a quick run")
        needs_torch()
        weights = reference.seeded_weights(tmp_path / f"{scale}-seg.safetensors", scale=scale, seen=64)
        self._small(registry, settings, golden, weights, notes, f"scale {scale}")

    @at(Stage.EXPORT)
    @pytest.mark.parametrize("case", ["depthwise"], ids=lambda case: f"fp32-{case}")
    def test_other_heads(
        self, registry: Registry, settings: Settings, notes: Notes, case: str, tmp_path: Path, golden: Subject
    ) -> None:
        """Class branches of depthwise convolutions, as some trainers build them."""
        _must_export(registry.get(self.format).format)
        self.need(registry, settings, Precision.FP32, runs=False)
        needs_torch()
        weights = reference.seeded_weights(tmp_path / "depthwise-seg.safetensors", scale="t", depthwise=True, seen=64)
        self._small(registry, settings, golden, weights, notes, f"a {case} head")

    @pytest.fixture
    def again(self, golden: Subject, registry: Registry, settings: Settings) -> ExportResult:
        """A second export with the same options as the first, to a path that is less than plain; made once."""
        fmt = golden.bench.backend.format
        _must_export(fmt)
        self.need(registry, settings)
        assert fmt.export_options is not None
        name, folder = fmt.artefact_name(ODD_NAME, fmt.export_options()), golden.bench.folder / ODD_NAME
        return golden.bench.once("again", lambda: golden.bench.export_to(folder, name, imgsz=golden.size, batch=1))

    def _small(
        self, registry: Registry, settings: Settings, golden: Subject, weights: Path, notes: Notes, what: str
    ) -> None:
        folder = weights.parent / "made"
        folder.mkdir()
        bench = Bench(registry, self.format, weights, folder, after=golden.bench)
        if registry.get(self.format).format.support.gap(Feature.PREDICT) is None:
            golden.must_be_sound(Precision.FP32)
        batch = reference.pictures(1, SMALL)
        made = bench.export(imgsz=SMALL, batch=1)
        self.need(registry, settings)
        with bench.load(made) as predictor:
            found = check(anchors(predictor.run(batch)), bench.expected(batch), UNTRAINED, f"{what} in fp32")
        notes.figure("SNR", min(item.snr for item in found), "dB", f">= {UNTRAINED.snr:g} dB")
        notes.figure("size", made.size / 1e6, "MB")


def _must_export(fmt: Format) -> None:
    if fmt.holds_weights:
        pytest.skip("the weights themselves are the artefact: nothing is exported")


def _never(*_: object) -> None:
    raise AssertionError("work was begun before what was asked for had been checked")


def _unwritable(folder: Path) -> Path:
    """A folder that cannot be written to; below a file, where the user (root) may write anywhere."""
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):
        return locked
    (folder / "file").touch()
    return folder / "file"
