"""The suite finds what it is for: each kind of wrong backend fails it, with numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from segkit.conformance import BackendSuite, reference
from segkit.conformance.bench import Bench, nothing_left_in
from segkit.conformance.compare import check, compare
from segkit.conformance.damage import DAMAGES, damaged_copies, try_to_load
from segkit.conformance.suite import CASES
from segkit.conformance.tolerance import TOLERANCES
from segkit.core.backend import (
    FULL,
    Anchors,
    Backend,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    Match,
    Metadata,
    Precision,
    Predictor,
    Support,
    Switches,
)
from segkit.core.backend.registry import Registry

GAP = Gap(GapKind.NOT_IMPLEMENTED, "this one is for tests")
FP32 = TOLERANCES[Precision.FP32]


def arrays(seed: int) -> Anchors:
    random = np.random.default_rng(seed)
    shapes = ((1, 4, 9), (1, 3, 9), (1, 32, 9), (1, 32, 4, 4))
    return Anchors(*(random.random(shape, np.float32) for shape in shapes))


# -- comparing


def test_equal_outputs_have_no_error():
    found = check(arrays(0), arrays(0), FP32, "equal ones")
    assert [(item.maximum, item.mean, item.snr) for item in found] == [(0, 0, float("inf"))] * 4


def test_a_deviation_is_told_with_its_figures_and_limits():
    wanted = arrays(0)
    scores = wanted.scores.copy()
    scores[0, 0, 0] += 0.5
    with pytest.raises(AssertionError) as failure:
        check(replace(wanted, scores=scores), wanted, FP32, "mine [fp32]")
    lines = str(failure.value).splitlines()
    assert lines[0].startswith("mine [fp32] is too far from PyTorch")
    assert [line for line in lines if line.startswith("!")] == [
        "! scores: max 0.5, mean 0.0185, SNR 15.8 dB (limit 2e-05)"
    ]


def test_nan_is_never_within_a_tolerance():
    wanted = arrays(0)
    boxes = wanted.boxes.copy()
    boxes[0, 0, 0] = np.nan
    with pytest.raises(AssertionError, match="boxes: max nan"):
        check(replace(wanted, boxes=boxes), wanted, TOLERANCES[Precision.INT8], "broken")


@pytest.mark.parametrize(
    ("scores", "words"),
    [(np.zeros((1, 3, 8), np.float32), "shape"), (np.zeros((1, 3, 9), np.float64), "dtype float64")],
    ids=["shape", "dtype"],
)
def test_another_shape_or_dtype_is_an_error_of_its_own(scores, words):
    with pytest.raises(AssertionError, match=f"scores: {words}"):
        compare(replace(arrays(0), scores=scores), arrays(0))


# -- the reference


def test_seeded_weights_are_the_same_every_time_and_lively(tmp_path):
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()
    networks = [reference.network_of(reference.seeded_weights(tmp_path / f"{n}.safetensors")) for n in range(2)]
    assert torch.equal(before, torch.random.get_rng_state())
    raw, again = (reference.outputs_of(network, reference.pictures(2, (96, 96))) for network in networks)
    assert np.array_equal(raw.scores, again.scores)
    assert networks[0].names == reference.NAMES
    assert raw.scores.min() < 0.25
    assert raw.scores.max() > 0.75
    assert raw.boxes.std(2).min() > 5
    assert raw.prototypes.std() > 0.1


def test_pictures_differ_from_each_other():
    batch = reference.pictures(3, (64, 96), seed=5)
    assert batch.u8_nhwc.shape == (3, 64, 96, 3)
    assert len({picture.tobytes() for picture in batch.u8_nhwc}) == 3


def test_every_case_has_its_own_name():
    assert len({str(case) for case in CASES}) == len(CASES)


# -- wrong backends


class Toy(Predictor):
    def __init__(self, fault):
        self.fault, self.buffer, self.given = fault, arrays(0), []

    def run(self, batch):
        if self.fault != "reuses its buffers":
            self.buffer = arrays(int(batch.u8_nhwc.sum()) % 1000)
        if self.fault == "takes them back":
            self.given.append(self.buffer)
        self.buffer.boxes[...] += batch.f32_nchw.mean()
        return self.buffer

    def close(self):
        for given in self.given:
            given.boxes[...] = 0


class ToyBackend(Backend):
    format = Format(
        name="toy",
        title="Toy",
        artefact="{stem}.toy",
        export_options=ExportOptions,
        support=Support(dict.fromkeys(Feature, GAP) | {Feature.EXPORT: FULL, Feature.PREDICT: FULL}),
    )

    def __init__(self, fault=""):
        self.fault = fault

    def load(self, path, options):
        return Toy(self.fault)

    def read_metadata(self, path):
        return Metadata()


class ToyBench:
    """Stands in for a bench whose artefacts need no weights."""

    def __init__(self, fault=""):
        self.backend = ToyBackend(fault)

    def export(self, **options):
        return None

    def load(self, made):
        return self.backend.load(made, None)


def test_a_predictor_with_buffers_of_its_own_passes():
    BackendSuite().test_outputs_belong_to_the_caller(ToyBench())


@pytest.mark.parametrize(
    ("fault", "when"), [("reuses its buffers", r"the next run\(\)"), ("takes them back", r"close\(\)")]
)
def test_a_predictor_whose_results_do_not_last_is_found(fault, when):
    with pytest.raises(AssertionError, match=rf"boxes of an earlier run changed after {when}"):
        BackendSuite().test_outputs_belong_to_the_caller(ToyBench(fault))


class ToyRegistry(Registry):
    def __init__(self, toy):
        super().__init__()
        self.toy = toy

    def get(self, name):
        return self.toy


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(BackendSuite, "format", "toy", raising=False)
    return ToyBackend()


def test_a_complete_declaration_passes(toy):
    BackendSuite().test_declaration_is_complete(ToyRegistry(toy))
    for feature in Feature:
        BackendSuite().test_gaps_are_refused_with_their_reason(ToyRegistry(toy), feature)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"artefact": "model.toy"}, "named after its model"),
        (
            {"support": Support({**ToyBackend.format.support, Feature.NMS: Gap(GapKind.NOT_IMPLEMENTED, "no")})},
            "gap 'nms': 'no' is no reason",
        ),
    ],
    ids=["artefact", "reason"],
)
def test_an_incomplete_declaration_is_found(toy, change, words):
    toy.format = replace(toy.format, **change)
    with pytest.raises(AssertionError, match=words):
        BackendSuite().test_declaration_is_complete(ToyRegistry(toy))


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (lambda path: Match(Match.CONTENT, "why not"), "Match.*for an empty file"),
        (lambda path: path.read_bytes()[:0] or None, "IsADirectoryError"),
        (lambda path: True, "gives True for an empty file"),
    ],
    ids=["greedy", "stumbling", "garbage"],
)
def test_a_format_that_claims_or_stumbles_over_foreign_files_is_found(toy, tmp_path, claim, words):
    BackendSuite().test_foreign_files_are_not_claimed(ToyRegistry(toy), make(tmp_path / "good"))
    toy.recognises = claim
    with pytest.raises((AssertionError, OSError)) as caught:
        BackendSuite().test_foreign_files_are_not_claimed(ToyRegistry(toy), make(tmp_path / "bad"))
    assert re.search(words, repr(caught.value))


def make(folder):
    folder.mkdir()
    return folder


@pytest.mark.parametrize("where", ["cwd", "beside"])
def test_litter_outside_the_target_is_found(tmp_path, where):
    beside, cwd = make(tmp_path / "beside"), tmp_path / "cwd"
    with nothing_left_in(beside, tmp_path / "clean"):
        pass
    with (
        pytest.raises(AssertionError, match=r"the exporter wrote cache\.bin beside its target"),
        nothing_left_in(beside, cwd),
    ):
        (beside / "cache.bin" if where == "beside" else Path("cache.bin")).touch()


class Freedoms(ExportOptions):
    dynamic: Annotated[
        str, Switches({"both": (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE), "batch": Feature.DYNAMIC_BATCH})
    ] = Field("", description="what is free")


def test_a_format_that_frees_the_batch_alone_is_tested_for_that(toy, tmp_path):
    toy.format = replace(toy.format, export_options=Freedoms)
    bench = Bench(ToyRegistry(toy), "toy", tmp_path / "none", tmp_path)
    assert bench.switches(Feature.DYNAMIC_BATCH) == {"dynamic": "batch"}
    assert bench.switches(Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE) == {"dynamic": "both"}
    assert bench.switches() == {}
    assert {(Feature.DYNAMIC_BATCH,), (Feature.DYNAMIC_SIZE,)} < {case.features for case in CASES}


# -- damaged files

PLUGIN = """
import os, sys
from pathlib import Path
from segkit.core.backend import *
from segkit.core.errors import ModelFileError

class Fragile(Backend):
    format = Format(name="fragile", title="Fragile", artefact="{stem}.fragile",
        support=Support(dict.fromkeys(Feature, Gap(GapKind.NOT_IMPLEMENTED, "for tests")) | {Feature.PREDICT: FULL}))

    def load(self, path, options):
        content = path.read_bytes()
        if not content:
            os.abort()
        if content.startswith(b"<"):
            raise KeyError("html")
        if len(content) < 100:
            return Predictor.__new__(type("P", (Predictor,), {"run": None}))
        raise ModelFileError(path, "it is damaged")

    def read_metadata(self, path):
        return None

@hookimpl
def segkit_backends():
    return [Fragile()]
"""


def test_a_crash_a_traceback_and_a_blind_acceptance_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "fragile_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    registry.register("fragile", "fragile_plugin")
    artefact = tmp_path / "x.fragile"
    artefact.write_bytes(bytes(range(1, 251)))
    outcomes = {o.damage: o.kind for o in try_to_load(registry, "fragile", damaged_copies(artefact, tmp_path / "bad"))}
    assert outcomes == {
        "empty": "crash",
        "cut to a quarter": "loaded",
        "cut to a half": "refused",
        "without its last 64 bytes": "refused",
        "random bytes": "refused",
        "an HTML page": "traceback",
    }


def test_damage_hits_the_largest_file_of_a_folder(tmp_path):
    folder = tmp_path / "x_model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(1000))
    (folder / "graph.xml").write_bytes(b"graph")
    copies = damaged_copies(folder, tmp_path / "bad")
    assert set(copies) == set(DAMAGES)
    assert {(copy / "graph.xml").read_bytes() for copy in copies.values()} == {b"graph"}
    assert (copies["cut to a half"] / "weights.bin").stat().st_size == 500


def test_importing_the_package_needs_neither_pytest_nor_torch():
    code = "import sys, segkit.conformance; print({'pytest', 'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
