"""Stage instances: the objects are the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from segkit.conformance.bench import anchors
from segkit.conformance.gaps import features_of
from segkit.conformance.objects import CONF, Tally, seen_in, tally
from segkit.conformance.selected import check_objects
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import PRECISIONS, SUBJECTS, SuiteBase
from segkit.conformance.subject import Subject
from segkit.conformance.tolerance import OBJECTS, Bounds
from segkit.core.backend import Anchors, Precision
from segkit.core.backend.registry import Registry
from segkit.core.images import ImageBatch


class InstancesStage(SuiteBase):
    """Matched one to one, by class and mask."""

    @at(Stage.INSTANCES)
    @pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=str)
    def test_objects_are_the_same(
        self,
        registry: Registry,
        settings: Settings,
        precision: Precision,
        subject: Subject,
        bounds: Bounds,
        notes: Notes,
        tmp_path: Path,
    ) -> None:
        """Every object is found again, nearly as it was, and none is added (near the threshold some may change)."""
        self.need(registry, settings, precision)
        subject.must_be_sound(precision)
        batch = subject.batch()
        with subject.bench.load(subject.export(precision), *features_of(precision)) as predictor:
            raw = anchors(predictor.run(batch))
        wanted = subject.expected
        found = tally(raw, wanted, batch, precision)
        if not found.matched + found.missing:
            data = settings.option("data", "DATA")
            pytest.skip(f"the reference sees no object in these pictures: give {data} with pictures of some")
        self._picture(found, raw, wanted, batch, subject, precision, notes, tmp_path)
        beyond = []
        for name, value, unit in found.values():
            bound = bounds.of(precision, name)
            within = bound is None or bound.holds(value)
            notes.figure(name, value, unit, str(bound or ""), within=within)
            beyond += [] if within else [f"{name}: {value:.4g} {unit}, should be {bound} ({bound and bound.reason})"]
        what = f"{self.format} [{precision}] on {len(batch)} pictures at conf {CONF}"
        assert not beyond, "\n".join([f"{what} sees other objects than PyTorch:", *beyond, str(found)[:500]])

    @at(Stage.INSTANCES)
    @pytest.mark.parametrize("precision", [Precision.INT8], ids=lambda precision: f"{precision}-own")
    def test_int8_keeps_the_objects(
        self, own: Subject, registry: Registry, settings: Settings, notes: Notes, precision: Precision
    ) -> None:
        """On trained weights eight bits move single numbers far and objects little: those are compared one by one."""
        self.need(registry, settings, precision)
        own.must_be_sound(precision)
        batch = own.batch(1)
        with own.bench.load(own.export(precision), *features_of(precision)) as predictor:
            raw = anchors(predictor.run(batch))
        wanted = own.bench.expected(batch)
        if not len(seen_in(wanted, batch, 0)):
            pytest.skip("the reference sees no object in the first picture")
        for item in check_objects(raw, wanted, batch, OBJECTS, f"{self.format} [int8]"):
            notes.figure(f"object {item.reference}, mask IoU", item.mask_iou, "", f">= {OBJECTS.mask_iou:g}")

    def _picture(
        self,
        found: Tally,
        raw: Anchors,
        wanted: Anchors,
        batch: ImageBatch,
        subject: Subject,
        precision: Precision,
        notes: Notes,
        folder: Path,
    ) -> None:
        """The picture that differs most, as both see it."""
        from segkit.conformance.worst import draw_worst

        number = found.worst[1]
        one, other = seen_in(wanted, batch, number), seen_in(raw, batch, number)
        names = subject.bench.about.names
        drawn = draw_worst(folder, subject.pictures[number], one, other, self.format, names, precision)
        for what, path in drawn.items():
            notes.picture(f"picture {number + 1} of {len(batch)}, {what}", path)
