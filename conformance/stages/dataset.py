"""Stage dataset: the scores over a data set are those of PyTorch."""

from __future__ import annotations

from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from segkit.conformance.bench import switching
from segkit.conformance.gaps import features_of
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import PRECISIONS, SUBJECTS, SuiteBase
from segkit.conformance.subject import Subject
from segkit.conformance.tolerance import Bounds
from segkit.core.backend import Backend, Precision
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.data.dataset import Dataset, open_dataset
from segkit.core.data.named.catalogue import locate
from segkit.core.inference.session import Session
from segkit.core.metrics import SegmentationMetrics
from segkit.core.validation import ValArguments, validate_model

SCORER = "faster_coco_eval"


class DatasetStage(SuiteBase):
    """Mean average precision of boxes and of masks."""

    @at(Stage.DATASET)
    @pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=str)
    def test_scores_are_the_same(
        self,
        registry: Registry,
        settings: Settings,
        precision: Precision,
        subject: Subject,
        bounds: Bounds,
        notes: Notes,
    ) -> None:
        """The difference to the reference is within the precision's bound, for boxes and for masks."""
        self.need(registry, settings, precision)
        if find_spec(SCORER) is None:
            pytest.skip('what scores is not installed: pip install "segkit[val]"')
        if subject.labelled is None:
            both = f"{settings.option('model', 'FILE')} {settings.option('data', 'DATA')}"
            pytest.skip(f"there are no labelled pictures: give {both}")
        subject.must_be_sound(precision)
        dataset = open_dataset(locate(subject.labelled.data), subject.labelled.split)
        box, mask = reference_scores(subject, dataset)
        backend = subject.bench.backend
        options = switching(backend.format.load_options, features_of(precision))
        got = scores(backend, subject.export(precision).path, dataset, options)
        bound = bounds.of(precision, "mAP")
        beyond = []
        for what, ours, theirs in (("box", got.box.map, box), ("mask", got.seg.map, mask)):
            loss = abs(ours - theirs)
            within = bound is None or bound.holds(loss)
            notes.figure(f"{what} mAP", ours)
            notes.figure(f"{what} mAP, difference to the reference", loss, "", str(bound or ""), within=within)
            beyond += [] if within else [f"{what} mAP {ours:.4f}, PyTorch has {theirs:.4f}: the bound is {bound}"]
        assert not beyond, "\n".join([f"{self.format} [{precision}] over {len(dataset)} pictures:", *beyond])


def reference_scores(subject: Subject, dataset: Dataset) -> list[float]:
    """Those of the weights themselves, of boxes and of masks, got once for each model."""
    what = f"mAP over {len(dataset)} pictures"

    def compute() -> list[float]:
        weights = subject.bench.weights
        found = scores(default_registry().recognise(weights), weights, dataset, {})
        return [float(found.box.map), float(found.seg.map)]

    def once() -> list[float]:
        return subject.shared.values(what, compute) if subject.shared else compute()

    if subject.scores is None:
        shelf = subject.bench.shelf
        subject.scores = shelf.values(what, once) if shelf else once()
    return subject.scores


def scores(backend: Backend, path: Path, dataset: Dataset, options: dict[str, object]) -> SegmentationMetrics:
    """Validate one file; square inputs, which every file takes."""
    args = ValArguments.model_validate({"plots": False, "rect": False})
    session = Session(backend, path, backend.format.parse_load_options(options))
    with closing(session):
        return validate_model(session, dataset, args, tell=False)
