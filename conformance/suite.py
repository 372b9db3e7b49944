"""The tests that every backend passes, ours and anybody's: inherit them, name the format.

    from segkit.conformance import BackendSuite

    class TestMine(BackendSuite):
        format = "mine"

What a format declares as full is tested; what it declares as a gap must be refused with the declared reason. No data
is needed: weights and pictures are made from a seed. Trained weights and a picture in `SEGKIT_TEST_DATA` are used too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from segkit.conformance import reference
from segkit.conformance.bench import Bench, anchors
from segkit.conformance.compare import OUTPUTS, check
from segkit.conformance.damage import DAMAGES, damaged_copies, try_to_load
from segkit.conformance.selected import check_objects, check_selected
from segkit.conformance.tolerance import OBJECTS, TOLERANCES
from segkit.core.backend import (
    Anchors,
    Concurrency,
    Feature,
    Gap,
    Inspection,
    Precision,
    Selected,
    TensorInfo,
)
from segkit.core.backend.options import BY_PRECISION, describe
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.errors import ModelFileError, UnsupportedError
from segkit.core.images import ImageBatch, Size
from segkit.core.images.reading import read_picture
from segkit.core.inference.decode import select

SIZE = (96, 96)
TRAINED = (640, 640)
"""Sizes of the input for seeded and for trained weights."""

FOREIGN: dict[str, bytes | None] = {
    "an empty file": b"",
    "bytes": bytes(range(256)) * 4,
    "a text": b"nothing to see here",
    "a JSON document": b'{"key": 1}',
    "an empty folder": None,
}
"""Files that are of no format; None: a folder."""


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
        return (*self.free, *([BY_PRECISION[self.precision]] if self.precision in BY_PRECISION else []))


DYNAMIC = (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)

CASES = (
    Case("one", runs=((1, SIZE),)),
    Case("two", runs=((2, SIZE),), batch=2),
    Case("wide", runs=((1, (64, 128)),), size=(64, 128)),
    Case("any-number-of-pictures", runs=((1, SIZE), (2, SIZE), (5, SIZE)), batch=2),
    Case("dynamic", runs=((1, SIZE), (3, (64, 96)), (2, (160, 128))), free=DYNAMIC),
    # Formats that free only one of the two.
    Case("dynamic-batch", runs=((1, SIZE), (3, SIZE)), free=(Feature.DYNAMIC_BATCH,)),
    Case("dynamic-size", runs=((1, SIZE), (1, (64, 128))), free=(Feature.DYNAMIC_SIZE,)),
    Case("one", runs=((1, SIZE),), precision=Precision.FP16),
    Case("dynamic", runs=((1, SIZE), (3, (64, 96))), precision=Precision.FP16, free=DYNAMIC),
    Case("one", runs=((1, SIZE),), precision=Precision.INT8),
)


class BackendSuite:
    """Inherit and set `format`. Fixtures are made to be overridden: `registry`, `weights`, `trained`."""

    format: ClassVar[str]
    _bench: ClassVar[Bench]

    # -- fixtures ------------------------------------------------------------------------------------------------------

    @pytest.fixture
    def registry(self) -> Registry:
        """Where the format is looked up: the installed ones."""
        return default_registry()

    @pytest.fixture
    def trained(self) -> tuple[Path, Path]:
        """Trained weights and a picture."""
        folder = Path(os.environ.get("SEGKIT_TEST_DATA", ""))
        found = folder / "checkpoints" / "yolov8n-seg.pt", folder / "images" / "bus.jpg"
        if not all(path.is_file() for path in found):
            end = pytest.fail if os.environ.get("SEGKIT_REQUIRE_DATA") == "1" else pytest.skip
            end("no trained weights: set SEGKIT_TEST_DATA")
        return found

    @pytest.fixture
    def bench(self, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Bench:
        """The format on seeded weights; one for the whole class, so that every export is made once."""
        suite = type(self)
        if "_bench" not in vars(suite):
            folder = tmp_path_factory.mktemp(self.format)
            weights = reference.seeded_weights(folder / "seeded-seg.safetensors")
            suite._bench = Bench(registry, self.format, weights, folder)
        return suite._bench

    # -- declaration ---------------------------------------------------------------------------------------------------

    def test_declaration_is_complete(self, registry: Registry) -> None:
        """Every option has a description, every gap a reason, and names lead to artefacts."""
        backend = registry.get(self.format)
        backend.format.check(self.format)
        assert backend.format.name == self.format
        for feature, level in backend.format.support.items():
            assert not isinstance(level, Gap) or len(level.reason.split()) >= 3, (
                f"gap '{feature}': '{level.reason}' is no reason"
            )
        for model in filter(None, (backend.format.export_options, backend.format.load_options)):
            for name, kind, _, help_text in describe(model):
                assert len(help_text) >= 5, f"option '{name}' ({kind}) needs a description, has '{help_text}'"
        if backend.format.export_options:
            name = backend.format.artefact_name("stem", backend.format.export_options())
            assert name.startswith("stem"), f"an artefact is named after its model, this one is '{name}'"

    @pytest.mark.parametrize(
        "feature", [f for f in Feature if f not in (Feature.EXPORT, Feature.PREDICT)], ids=lambda f: f.name.lower()
    )
    def test_gaps_are_refused_with_their_reason(self, registry: Registry, feature: Feature) -> None:
        """Asking for a declared gap gives the declared reason before any work is done."""
        fmt = registry.get(self.format).format
        gap = fmt.support.gap(feature)
        flags = {Feature.HALF: "half", Feature.INT8: "int8", Feature.NMS: "nms", Feature.DYNAMIC_BATCH: "dynamic"}
        if gap is None or feature not in flags or fmt.export_options is None:
            return
        with pytest.raises(UnsupportedError) as refusal:
            fmt.parse_export_options({flags[feature]: True})
        assert refusal.value.reason == gap.reason, (
            f"{flags[feature]}=True is refused for another reason: {refusal.value}"
        )

    def test_importing_the_plugin_is_light(self, registry: Registry) -> None:
        """Declaring a format loads neither torch nor its own runtime: `segkit formats` stays instant."""
        fmt = registry.get(self.format).format
        module = type(registry.get(self.format)).__module__
        code = f"import sys, json, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=False
        )
        assert out.returncode == 0, out.stderr
        names = [name for need in fmt.requires for name in (need.name, *need.alternatives)]
        needed = {name.lower().replace("_", "-") for name in names}
        heavy = {
            package
            for package, owners in metadata.packages_distributions().items()
            if needed & {o.lower().replace("_", "-") for o in owners}
        }
        loaded = (heavy | {"torch"}) & set(json.loads(out.stdout.splitlines()[-1])) - {"numpy"}
        assert not loaded, f"importing {module} also imports {', '.join(sorted(loaded))}: move that into the methods"

    def test_foreign_files_are_not_claimed(self, registry: Registry, tmp_path: Path) -> None:
        """`recognises` looks at anything there is without raising, and is never sure of a file that it does not know:
        one plugin that is would keep every other format from its files.
        """
        backend = registry.get(self.format)
        for number, (what, content) in enumerate(FOREIGN.items()):
            path = tmp_path / f"{number}.foreign"
            path.mkdir() if content is None else path.write_bytes(content)
            match = backend.recognises(path)
            assert match is None, f"recognises() gives {match!r} for {what} called {path.name}, which it cannot know"

    # -- numbers -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_raw_outputs(self, bench: Bench, case: Case, request: pytest.FixtureRequest) -> None:
        """Boxes, scores, coefficients and prototypes are those of PyTorch, within the precision's tolerance."""
        _need(bench, *case.features)
        made = bench.export(imgsz=case.size, batch=case.batch, **bench.switches(*case.features))
        with bench.load(made, *case.features) as predictor:
            for seed, (count, size) in enumerate(case.runs):
                batch = reference.pictures(count, size, seed=seed)
                raw = anchors(predictor.run(batch))
                what = f"{self.format} [{case}] on {count} pictures of {size[0]}x{size[1]}"
                for item in check(raw, bench.expected(batch), TOLERANCES[case.precision], what):
                    # Reports (junit, plugins) show the figures of tests that pass, too.
                    request.node.user_properties.append((f"{count}x{size[0]}x{size[1]} {item.output}", str(item)))

    @pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16], ids=str)
    def test_raw_outputs_of_trained_weights(
        self, registry: Registry, trained: tuple[Path, Path], tmp_path: Path, precision: Precision
    ) -> None:
        """The same on trained weights and a real picture."""
        bench = Bench(registry, self.format, trained[0], tmp_path)
        features = [BY_PRECISION[precision]] if precision in BY_PRECISION else []
        _need(bench, *features)
        made = bench.export(imgsz=TRAINED, **bench.switches(*features))
        batch = ImageBatch([read_picture(trained[1])], TRAINED)
        with bench.load(made, *features) as predictor:
            raw = anchors(predictor.run(batch))
        check(raw, bench.expected(batch), TOLERANCES[precision], f"{self.format} [{precision}] on {trained[1].name}")

    def test_int8_keeps_the_objects(
        self, registry: Registry, trained: tuple[Path, Path], tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """On trained weights eight bits move single numbers far and objects little: those are compared."""
        picture = read_picture(trained[1])
        bench = Bench(registry, self.format, trained[0], tmp_path, reference.views(picture))
        _need(bench, Feature.INT8)
        made = bench.export(imgsz=TRAINED, **bench.switches(Feature.INT8))
        batch = ImageBatch([picture], TRAINED)
        with bench.load(made, Feature.INT8) as predictor:
            raw = anchors(predictor.run(batch))
        for item in check_objects(raw, bench.expected(batch), batch, OBJECTS, f"{self.format} [int8]"):
            request.node.user_properties.append((f"object {item.reference}", str(item)))

    @pytest.mark.parametrize("conf", [0.25, 0.6])
    def test_selection_inside_is_that_outside(self, bench: Bench, conf: float) -> None:
        """A file that selects detections gives those that are selected from a plain file, by the limits it names."""
        _need(bench, Feature.NMS)
        batch = reference.pictures(2, SIZE, seed=3)
        options = {"imgsz": SIZE, "batch": 2}
        plain = bench.export(**options)
        selecting = bench.export(**options, conf=conf, **bench.switches(Feature.NMS))
        limits = selecting.metadata.selection
        assert limits is not None, "a file with nms names its limits in its metadata"
        assert limits.conf == conf
        with bench.load(plain) as one, bench.load(selecting, Feature.NMS) as other:
            raw, selected = anchors(one.run(batch)), other.run(batch)
        assert isinstance(selected, Selected), f"a file with nms gave {type(selected).__name__}, not Selected"
        wanted = select(raw, conf=limits.conf, iou=limits.iou, max_det=limits.max_det, agnostic=limits.agnostic)
        check_selected(selected, wanted, TOLERANCES[Precision.FP32], f"{self.format} [nms]")

    # -- behaviour -----------------------------------------------------------------------------------------------------

    def test_metadata_survives(self, bench: Bench, registry: Registry) -> None:
        """What was sealed is read back, names in any script included, and the file is recognised as its format's."""
        _need(bench)
        made = bench.export(imgsz=(64, 128), batch=1)
        read = bench.backend.read_metadata(made.path)
        assert read == made.metadata, f"sealed {made.metadata}, read {read}"
        assert read is not None
        assert read.names == reference.NAMES
        assert bench.backend.format.holds_weights or read.imgsz == (64, 128)
        found = registry.recognise(made.path)
        assert found.format.name == self.format, f"{made.path.name} is taken for {found.format.name}"

    def test_inspecting_tells_or_refuses(self, bench: Bench, tmp_path: Path) -> None:
        """`inspect` names what the artefact takes and gives as far as it can, and refuses what is damaged by name."""
        _need(bench)
        artefact = bench.export(imgsz=SIZE, batch=1).path
        found = bench.backend.inspect(artefact)
        assert isinstance(found, Inspection), f"inspect() gives {type(found).__name__}, not Inspection"
        for tensor in (*found.inputs, *found.outputs):
            assert isinstance(tensor, TensorInfo), f"an input or output is a TensorInfo, not {tensor!r}"
        odd = {name: fact for name, fact in found.facts.items() if not isinstance(fact, str)}
        assert not odd, f"facts are texts, not {odd}"
        for damage, copy in damaged_copies(artefact, tmp_path).items():
            try:
                bench.backend.inspect(copy)
            except ModelFileError:
                continue
            except Exception as error:
                raise AssertionError(f"inspect() stumbles over a file that is {damage}: {error!r}") from error

    def test_outputs_belong_to_the_caller(self, bench: Bench) -> None:
        """A result does not change when the predictor runs again or is closed, and shares no memory with the input."""
        _need(bench)
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

    def test_runs_from_several_threads(self, bench: Bench) -> None:
        """A format that calls itself parallel gives every thread its own result."""
        _need(bench)
        if bench.backend.format.concurrency is not Concurrency.PARALLEL:
            return
        batches = [reference.pictures(1, SIZE, seed=seed) for seed in range(4)]
        with bench.load(bench.export(imgsz=SIZE, batch=1)) as predictor, ThreadPoolExecutor(4) as pool:
            for number, raw in enumerate(pool.map(predictor.run, batches * 2)):
                batch = batches[number % 4]
                check(
                    anchors(raw), bench.expected(batch), TOLERANCES[Precision.FP32], f"{self.format} in thread {number}"
                )

    def test_damaged_files_are_refused(self, bench: Bench, registry: Registry, tmp_path: Path) -> None:
        """Cut, empty, random or foreign bytes: one clear line, neither a traceback nor a dead process."""
        _need(bench)
        copies = damaged_copies(bench.export(imgsz=SIZE, batch=1).path, tmp_path)
        outcomes = try_to_load(registry, self.format, copies)
        assert {outcome.damage for outcome in outcomes} == set(DAMAGES)
        wrong = [f"{o.damage}: {o.kind} ({o.text})" for o in outcomes if o.kind != "refused" or "\n" in o.text]
        assert not wrong, "\n".join(["a damaged artefact must give a one-line SegkitError on load:", *wrong])


def _need(bench: Bench, *features: Feature) -> None:
    """End the test as expected failure where the format declares a gap; the gap itself is tested elsewhere."""
    fmt = bench.backend.format
    made = () if fmt.holds_weights else (Feature.EXPORT,)
    for feature in (*made, Feature.PREDICT, *features):
        if gap := fmt.support.gap(feature):
            pytest.xfail(f"declared gap '{feature}' ({gap.kind}): {gap.reason}")


def _unchanged(before: dict[str, NDArray[np.float32]], raw: Anchors, when: str) -> None:
    for output, values in before.items():
        assert np.array_equal(values, getattr(raw, output)), f"{output} of an earlier run changed {when}"


def _environment() -> dict[str, str]:
    """For a child process that sees the modules of this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
