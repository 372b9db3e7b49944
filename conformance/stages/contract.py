"""Stage contract: what everybody who calls a backend relies on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.conformance import reference
from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import check
from segkit.conformance.damage import DAMAGES, SUBTLE, damaged_copies, try_to_load
from segkit.conformance.gaps import need
from segkit.conformance.guards import Holdings, left_in, network_calls
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import SuiteBase
from segkit.conformance.subject import Subject
from segkit.core.backend import Predictor
from segkit.core.backend.faults import words
from segkit.core.backend.registry import Registry
from segkit.core.errors import ModelFileError, SegkitError, SourceError
from segkit.core.images import Picture, Size
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.results import Results
from segkit.core.inference.session import Session

SIZE = (160, 160)
OTHER = (192, 160)
ODD = (150, 170)
"""Sizes of an input: the file's own, another one, and one that no network of stride 32 takes."""

THREADS = 8
OPENED, SETTLED = 100, 20
"""How often a file is opened and closed, and after how many times a process has all that it needs."""

MEMORY, HANDLES, RUNNING = 16.0, 2, 2
"""What the process may hold more after the other times: megabytes (a fifth of one each time), handles, threads."""

MOST = 300


class ContractStage(SuiteBase):
    """Threads, opening and closing, extremes, refusals, manners."""

    @at(Stage.CONTRACT)
    def test_runs_from_several_threads(self, golden: Subject) -> None:
        """Every thread gets its own result, whatever the format says about who may call it."""
        bench = golden.bench
        need(bench.backend.format)
        golden.must_be_sound(golden.bench.plain)
        batches = [reference.pictures(1, SIZE, seed=seed) for seed in range(THREADS)] * 2
        wanted = [bench.expected(batch) for batch in batches[:THREADS]] * 2
        with closing(self._session(bench)) as session, ThreadPoolExecutor(THREADS) as pool:

            def run(number: int) -> None:
                raw, _ = session.compute(batches[number])
                what = f"{self.format} in one of {THREADS} threads"
                check(anchors(raw), wanted[number], golden.bounds.tolerance(bench.plain), what)

            list(pool.map(run, range(len(batches))))

    @at(Stage.CONTRACT)
    def test_opening_and_closing_keeps_nothing(self, running: Bench, settings: Settings, notes: Notes) -> None:
        """After a hundred times there are no more handles, threads and megabytes than after twenty."""
        made = running.export(imgsz=SIZE, batch=1)
        batch = reference.pictures(1, SIZE)
        settled = Holdings.now()
        count = 2 * SETTLED if settings.quick else OPENED
        for number in range(count):
            with running.load(made) as predictor:
                if number % 10 == 0:
                    predictor.run(batch)
            if number + 1 == SETTLED:
                settled = Holdings.now()
        end = Holdings.now()
        grown = {
            "memory": (end.memory - settled.memory, MEMORY, "MB"),
            "handles": (end.handles - settled.handles, HANDLES, ""),
            "threads": (end.threads - settled.threads, RUNNING, ""),
        }
        for name, (growth, most, unit) in grown.items():
            notes.figure(f"growth of {name}", growth, unit, f"<= {most:g} {unit}".rstrip(), within=growth <= most)
        over = [f"{growth:g} {unit or name} more" for name, (growth, most, unit) in grown.items() if growth > most]
        assert not over, f"opening and closing {count} times keeps something each time: {', '.join(over)}"

    @at(Stage.CONTRACT)
    def test_no_pictures_are_no_results(self, running: Bench) -> None:
        """An empty list is no error."""
        with closing(self._session(running)) as session:
            assert list(session.predict([], PredictArguments(), _refuse)) == []

    @at(Stage.CONTRACT)
    def test_nothing_seen_is_no_error(self, running: Bench) -> None:
        """A picture without an object gives a result without boxes and masks."""
        [found] = self._results(running, [np.full((200, 320, 3), 114, np.uint8)], {"conf": 0.99})
        assert len(found.boxes) == 0
        assert found.masks is None or len(found.masks) == 0

    @at(Stage.CONTRACT)
    def test_as_many_as_are_asked_for(self, golden: Subject) -> None:
        """Three hundred detections in one picture, each with its mask."""
        need(golden.bench.backend.format)
        golden.must_be_sound(golden.bench.plain)
        limits = {"conf": 0.0, "iou": 1.0, "max_det": MOST}
        [found] = self._results(golden.bench, golden.pictures[2:3], limits)
        assert len(found.boxes) == MOST
        assert found.masks is not None
        assert len(found.masks) == MOST
        assert np.isfinite(found.boxes.data).all()

    @at(Stage.CONTRACT)
    @pytest.mark.parametrize("size", [OTHER, ODD], ids=["fp32-other-size", "fp32-no-multiple"])
    def test_other_sizes_are_refused(self, running: Bench, size: Size) -> None:
        """A file of one size takes no other one, and no file takes sides that its stride does not divide."""
        if running.backend.format.holds_weights and size == OTHER:
            pytest.skip("weights take any multiple of their stride")
        with running.load(running.export(imgsz=SIZE, batch=1)) as predictor:
            must_refuse(predictor, size)
            raw = anchors(predictor.run(reference.pictures(1, SIZE)))
        assert len(raw.boxes) == 1, "after a refusal the predictor goes on"

    @at(Stage.CONTRACT)
    @pytest.mark.parametrize("dtype", ["float64", "int64", "complex64"], ids=lambda dtype: f"fp32-{dtype}")
    def test_other_types_are_refused(self, running: Bench, dtype: str) -> None:
        """Pictures are bytes: numbers of another type are no picture, whatever they hold."""
        with pytest.raises(SourceError):
            self._results(running, [np.zeros((64, 64, 3), dtype)], {})

    @at(Stage.CONTRACT)
    def test_damaged_files_are_refused(self, running: Bench, registry: Registry, tmp_path: Path) -> None:
        """Cut, empty, random or foreign bytes: one clear line, neither a traceback nor a dead process."""
        artefact = running.export(imgsz=SIZE, batch=1).path
        copies = damaged_copies(artefact, tmp_path / "damaged")
        subtle = damaged_copies(artefact, tmp_path / "subtle", SUBTLE)
        outcomes = try_to_load(registry, self.format, copies | subtle)
        assert {outcome.damage for outcome in outcomes} == {*DAMAGES, *SUBTLE}
        wrong = [
            f"{each.damage}: {each.kind} ({each.text})"
            for each in outcomes
            if (each.kind != "refused" or "\n" in each.text) and not (each.damage in SUBTLE and each.kind == "loaded")
        ]
        assert not wrong, "\n".join(["a damaged artefact must give a one-line SegkitError on load:", *wrong])

    @at(Stage.CONTRACT)
    def test_wrong_suffix_is_seen_through_or_refused(self, golden: Subject, registry: Registry, tmp_path: Path) -> None:
        """An artefact under another name is known by its content, or refused in one line."""
        bench = golden.bench
        need(bench.backend.format, runs=False)
        artefact = bench.export(imgsz=SIZE, batch=1).path
        renamed = tmp_path / "renamed.bin"
        copy = shutil.copytree if artefact.is_dir() else shutil.copy2
        copy(artefact, renamed)
        try:
            found = registry.recognise(renamed)
        except ModelFileError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert "\n" not in refused, "a refusal is one line"
            return
        assert found.format.name == self.format, f"under another name it is taken for {found.format.name}"
        need(found.format)
        golden.must_run()
        found.load(renamed, found.format.parse_load_options({})).close()

    @at(Stage.CONTRACT)
    def test_nothing_is_written_elsewhere(self, golden: Subject, tmp_path: Path) -> None:
        """Exports leave nothing beside the model or in the working folder; runs neither."""
        bench = golden.bench
        need(bench.backend.format, runs=False)
        made = bench.export(imgsz=SIZE, batch=1)
        found = ", ".join(sorted(set(bench.litter)))
        assert not found, f"the exporter left {found}: a user would find that litter"
        need(bench.backend.format)
        golden.must_run()
        # A copy that nobody has opened yet: beside the other one an earlier predictor may have left something.
        fresh = tmp_path / "fresh" / made.path.name
        fresh.parent.mkdir()
        (shutil.copytree if made.path.is_dir() else shutil.copy2)(made.path, fresh)
        litter: list[str] = []
        with left_in(fresh.parent, tmp_path / "cwd", litter), bench.load(replace(made, path=fresh)) as predictor:
            predictor.run(reference.pictures(1, SIZE))
        assert not litter, f"running a file leaves {', '.join(litter)}"

    @at(Stage.CONTRACT)
    def test_nobody_is_called(self, golden: Subject) -> None:
        """No export and no run touches the network, as far as Python sees it."""
        bench = golden.bench
        need(bench.backend.format, runs=False)
        made, calls = bench.export(imgsz=SIZE, batch=1), list(bench.calls)
        assert not calls, f"the exporter calls {', '.join(sorted(set(calls)))}"
        need(bench.backend.format)
        golden.must_run()
        with network_calls(calls), bench.load(made) as predictor:
            predictor.run(reference.pictures(1, SIZE))
        assert not calls, f"the backend calls {', '.join(sorted(set(calls)))}"

    @at(Stage.CONTRACT)
    def test_files_of_other_tools_are_read(
        self, registry: Registry, settings: Settings, notes: Notes, foreign: Path | None
    ) -> None:
        """A file of the format that another tool has written: recognised, loaded and run, or refused in one line."""
        self.need(registry, settings)
        if foreign is None:
            pytest.skip("no file of this format by another tool is known: the fixture `foreign` names one")
        backend = registry.recognise(foreign)
        assert backend.format.name == self.format
        read = backend.read_metadata(foreign)
        size = read.imgsz if read else (640, 640)
        refused = ""
        try:
            with backend.load(foreign, backend.format.parse_load_options({})) as predictor:
                predictor.run(reference.pictures(1, size))
        except SegkitError as error:
            refused = str(error)
        notes.figure(f"{foreign.name} runs", not refused)
        assert "\n" not in refused, "a refusal is one line"

    def _session(self, bench: Bench) -> Session:
        made = bench.export(imgsz=SIZE, batch=1)
        return Session(bench.backend, made.path, bench.backend.format.parse_load_options({}))

    def _results(self, bench: Bench, pictures: Sequence[Picture | Any], limits: dict[str, float]) -> list[Results]:
        args = PredictArguments.model_validate(limits)
        with closing(self._session(bench)) as session:
            return list(session.predict(open_sources(list(pictures)), args, _refuse))


def must_refuse(predictor: Predictor, size: Size) -> None:
    """Another size costs one line, and in segkit's own words."""
    what = f"pictures of {size[0]}x{size[1]} must be refused with a SegkitError"
    try:
        predictor.run(reference.pictures(1, size))
    except SegkitError as error:
        refusal = str(error)
    except Exception as error:
        raise AssertionError(f"{what}, not with {words(error)}") from error
    else:
        raise AssertionError(f"{what}: they are run")
    assert "\n" not in refusal, "a refusal is one line"


def _refuse(error: Exception) -> None:
    raise error
