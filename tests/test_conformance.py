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
from segkit.conformance.bench import Bench
from segkit.conformance.compare import check, compare
from segkit.conformance.damage import DAMAGES, damaged_copies, try_to_load
from segkit.conformance.diagnosis import output_faults
from segkit.conformance.guards import left_in
from segkit.conformance.selected import check_objects, check_selected
from segkit.conformance.stages.contract import must_refuse
from segkit.conformance.stages.declare import FLAGS
from segkit.conformance.stages.raw import CASES
from segkit.conformance.tolerance import OBJECTS, TOLERANCES
from segkit.core.backend import (
    FULL,
    Anchors,
    Backend,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    Inspection,
    Match,
    Metadata,
    Precision,
    Predictor,
    Selected,
    Support,
    Switches,
)
from segkit.core.backend.registry import Registry
from segkit.core.errors import PluginError
from segkit.core.inference.decode import select

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


@pytest.mark.parametrize(
    "boxes",
    [np.zeros_like, lambda right: right[..., ::-1].copy(), lambda right: right[:, ::-1].copy()],
    ids=["zeros", "anchors reversed", "sides reversed"],
)
def test_boxes_that_are_wrong_in_another_way_get_no_hint(boxes):
    wanted = replace(arrays(0), boxes=arrays(0).boxes * np.float32(160))
    assert not [*output_faults(replace(wanted, boxes=boxes(wanted.boxes)), wanted, (160, 160))]


def test_of_two_explanations_the_nearer_one_is_told():
    wanted = replace(arrays(0), boxes=arrays(0).boxes * np.float32(160))
    hints = [*output_faults(replace(wanted, boxes=wanted.boxes / np.float32(160)), wanted, (160, 160))]
    assert hints == ["boxes look as if they were divided by the sides of the input (0..1)"]


def test_nan_is_never_within_a_tolerance():
    wanted = arrays(0)
    boxes = wanted.boxes.copy()
    boxes[0, 0, 0] = np.nan
    with pytest.raises(AssertionError, match=r"boxes: max nan.*, 1 values are NaN"):
        check(replace(wanted, boxes=boxes), wanted, TOLERANCES[Precision.INT8], "broken")


def test_with_few_bits_one_box_in_a_thousand_may_be_anywhere_and_more_may_not():
    wanted = Anchors(*(np.ones(shape, np.float32) for shape in ((1, 4, 500), (1, 3, 9), (1, 32, 9), (1, 32, 4, 4))))
    limits = TOLERANCES[Precision.INT8]
    for count, sound in ((2, True), (3, False)):
        boxes = wanted.boxes.copy()
        boxes[0, 0, :count] += 2 * limits.boxes
        moved = replace(wanted, boxes=boxes)
        found = compare(moved, wanted)[0]
        loud = replace(limits, snr=-100)  # of so few values any one drowns the signal
        assert found.within(loud) is sound, count
        assert not found.within(replace(loud, every_box=True))
        if not sound:
            with pytest.raises(AssertionError, match=r"! boxes: max 192, .* \(99.9% within 192, limit 96\)"):
                check(moved, wanted, loud, "moved")


@pytest.mark.parametrize(
    ("scores", "words"),
    [(np.zeros((1, 3, 8), np.float32), "shape"), (np.zeros((1, 3, 9), np.float64), "dtype float64")],
    ids=["shape", "dtype"],
)
def test_another_shape_or_dtype_is_an_error_of_its_own(scores, words):
    with pytest.raises(AssertionError, match=f"scores: {words}"):
        compare(replace(arrays(0), scores=scores), arrays(0))


# -- objects


def two_objects() -> Anchors:
    """A person at the left and a bicycle at the right of an input of 64 x 64."""
    boxes = np.array([[[16, 48], [32, 32], [24, 24], [40, 40]]], np.float32)
    scores = np.array([[[0.9, 0], [0, 0.6]]], np.float32)
    coefficients, prototypes = np.zeros((1, 32, 2), np.float32), np.zeros((1, 32, 16, 16), np.float32)
    coefficients[0, 0] = prototypes[0, 0] = 1
    return Anchors(boxes, scores, coefficients, prototypes)


INPUT = reference.pictures(1, (64, 64))


def test_objects_that_are_found_again_are_told_with_their_figures():
    raw = two_objects()
    pairs = check_objects(replace(raw, scores=raw.scores * np.float32(0.95)), raw, INPUT, OBJECTS, "mine")
    assert [pair.reference for pair in pairs] == [0, 1]
    assert [pair.mask_iou for pair in pairs] == [1, 1]
    assert pairs[0].score == pytest.approx(-0.045, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: replace(raw, scores=raw.scores * np.float32(0.3)), "score 0.900: not found"),
        (lambda raw: replace(raw, scores=raw.scores[:, ::-1].copy()), "class 1, score 0.600: not found"),
        (lambda raw: replace(raw, scores=raw.scores * np.float32(0.85)), "! Pair"),
        (lambda raw: replace(raw, boxes=raw.boxes + np.float32(4)), "! Pair"),
        (lambda raw: replace(raw, prototypes=raw.prototypes * (np.arange(16) % 2 * 2 - 1).astype(np.float32)), "Pair"),
        (lambda raw: replace(raw, prototypes=-raw.prototypes), "not found"),
    ],
    ids=["lost", "other class", "score", "box", "mask", "no mask"],
)
def test_objects_that_are_lost_or_change_too_much_are_found(change, words):
    raw = two_objects()
    with pytest.raises(AssertionError, match=re.escape(words)):
        check_objects(change(raw), raw, INPUT, OBJECTS, "mine")


def test_one_scale_for_all_outputs_is_found():
    """The usual way to lose all objects: boxes in pixels and scores in one tensor share the steps of eight bits."""
    raw = two_objects()
    rounded = replace(raw, scores=(np.rint(raw.scores / 2.5) * 2.5).astype(np.float32))
    with pytest.raises(AssertionError, match="not found"):
        check_objects(rounded, raw, INPUT, OBJECTS, "mine")


def test_a_reference_without_objects_compares_nothing():
    raw = replace(two_objects(), scores=np.zeros((1, 2, 2), np.float32))
    with pytest.raises(AssertionError, match="sees no object"):
        check_objects(raw, raw, INPUT, OBJECTS, "mine")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """The network of the seeded weights."""
    pytest.importorskip("torch")
    return reference.network_of(reference.seeded_weights(tmp_path_factory.mktemp("seeded") / "seeded.safetensors"))


@pytest.mark.parametrize("output", ["boxes", "scores", "coefficients", "prototypes"])
@pytest.mark.parametrize("left", ["nothing", "the mean"])
def test_a_tensor_that_is_lost_is_beyond_what_eight_bits_excuse(seeded, output, left):
    wanted = reference.outputs_of(seeded, reference.pictures(1, (96, 96)))
    values = getattr(wanted, output)
    lost = np.full_like(values, 0 if left == "nothing" else values.mean())
    with pytest.raises(AssertionError, match=f"! {output}"):
        check(replace(wanted, **{output: lost}), wanted, TOLERANCES[Precision.INT8], "mine [int8]")


def selected() -> Selected:
    """What a graph would select of `two_objects`."""
    boxes = np.array([[4, 12, 28, 52], [36, 12, 60, 52]], np.float32)
    scores, classes = np.array([0.9, 0.6], np.float32), np.array([0, 1])
    raw = two_objects()
    return Selected((boxes,), (scores,), (classes,), (raw.coefficients[0].T,), raw.prototypes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"classes": (np.array([1, 0]),)}, "other classes, or another order"),
        ({"confidence": (np.array([0.9, 0.61], np.float32),)}, "scores differ by 0.01 "),
        ({"xyxy": (np.zeros((1, 4), np.float32),)}, "1 detections, outside 2"),
        ({"xyxy": (np.zeros((2, 4), np.float32),)}, "boxes differ by 60 "),
        ({"coefficients": (np.zeros((2, 32), np.float32),)}, "coefficients differ by 1 "),
        ({"xyxy": (), "confidence": (), "classes": (), "coefficients": ()}, "gives 0 pictures of 1"),
    ],
    ids=str,
)
def test_a_selection_that_is_another_than_outside_is_found(change, words):
    wanted = select(two_objects(), conf=0.25, iou=0.7, max_det=300)
    if words is None:
        check_selected(selected(), wanted, FP32, "mine")
        return
    with pytest.raises(AssertionError, match=re.escape(words)):
        check_selected(replace(selected(), **change), wanted, FP32, "mine")


# -- the reference


def test_seeded_weights_are_the_same_every_time_and_lively(seeded, tmp_path):
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()
    networks = [seeded, reference.network_of(reference.seeded_weights(tmp_path / "again.safetensors"))]
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


class Inspected(ToyBench):
    """Its artefact is a real file, and what its backend says of it is given."""

    def __init__(self, folder, inspect):
        super().__init__()
        self.path = folder / "x.toy"
        self.path.write_bytes(bytes(200))
        self.backend.inspect = inspect

    def export(self, **options):
        return self


def stumble(path):
    return Inspection(facts={"first": str(path.read_bytes()[0])})


@pytest.mark.parametrize(
    ("inspect", "words"),
    [
        (lambda path: {"inputs": ()}, "gives dict, not Inspection"),
        (lambda path: Inspection(inputs=("images",)), "is a TensorInfo, not 'images'"),
        (lambda path: Inspection(facts={"opset": 18}), "facts are texts, not {'opset': 18}"),
        (stumble, "stumbles over a file that is empty: IndexError"),
    ],
    ids=["type", "tensor", "fact", "damage"],
)
def test_an_inspection_that_is_none_or_stumbles_is_found(tmp_path, inspect, words):
    with pytest.raises(AssertionError, match=words):
        BackendSuite().test_inspecting_tells_or_refuses(Inspected(tmp_path, inspect), tmp_path)


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
    for feature in FLAGS:
        BackendSuite().test_gaps_are_refused_with_their_reason(ToyRegistry(toy), feature)


def test_what_is_no_gap_is_skipped_and_not_passed(toy, tmp_path):
    with pytest.raises(pytest.skip.Exception, match="'predict' is no gap"):
        BackendSuite().test_gaps_are_refused_with_their_reason(ToyRegistry(toy), Feature.PREDICT)
    with pytest.raises(pytest.skip.Exception, match="'predict' is no gap"):
        BackendSuite().test_what_cannot_run_says_why(ToyRegistry(toy), tmp_path)
    with pytest.raises(pytest.skip.Exception, match="not-implemented is not looked behind"):
        BackendSuite().test_gaps_of_others_are_still_there(ToyRegistry(toy), Feature.NMS, tmp_path)


@pytest.mark.parametrize(
    ("found", "words"),
    [("onnx", "the alias 'tony' never leads here: it is the format 'onnx'"), (None, "the alias 'tony' leads nowhere")],
    ids=["another", "nobody"],
)
def test_an_alias_that_leads_elsewhere_is_found(toy, found, words):
    toy.format = replace(toy.format, aliases=("tony",))
    other = ToyBackend()
    other.format = replace(other.format, name=found or "other")

    class Names(ToyRegistry):
        def get(self, name):
            if name == "toy":
                return self.toy
            if found is None:
                raise PluginError("toy", "two claim it")
            return other

    with pytest.raises(AssertionError, match=words):
        BackendSuite().test_declaration_is_complete(Names(toy))


def test_an_allowance_that_cannot_be_given_is_found_in_the_declaration(toy):
    toy.allowances = {"fp32 box": 3}
    with pytest.raises(AssertionError, match=r"allowances are .* that for 'fp32 box' is 3"):
        BackendSuite().test_declaration_is_complete(ToyRegistry(toy))


class Unchecked(Predictor):
    def __init__(self, problem):
        self.problem = problem

    def run(self, batch):
        if self.problem:
            raise self.problem


@pytest.mark.parametrize(
    ("problem", "words"),
    [(RuntimeError("got 192"), "with a SegkitError, not with RuntimeError: got 192"), (None, "they are run")],
    ids=["runtime", "nothing"],
)
def test_a_size_that_the_runtime_alone_refuses_is_found(problem, words):
    with pytest.raises(AssertionError, match=words):
        must_refuse(Unchecked(problem), (192, 160))


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


@pytest.mark.parametrize("where", ["in the working folder", "beside the model"])
def test_litter_outside_the_target_is_found(tmp_path, where):
    beside, litter = make(tmp_path / "beside"), []
    with left_in(beside, tmp_path / "clean", litter):
        pass
    assert litter == []
    with left_in(beside, tmp_path / "cwd", litter):
        (beside / "cache.bin" if where == "beside the model" else Path("cache.bin")).touch()
    assert litter == [f"cache.bin {where}"]


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


def test_why_an_export_failed_is_whole_in_the_reason_of_those_that_are_not_judged(toy, tmp_path):
    bench = Bench(ToyRegistry(toy), "toy", tmp_path / "none", tmp_path)

    def make():
        raise RuntimeError("the compiler says:\n  at line 3\n  no such operator")

    with pytest.raises(RuntimeError):
        bench.once("plain", make)
    with pytest.raises(pytest.skip.Exception, match=r"has failed: the compiler says: no such operator$"):
        bench.once("plain", make)


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
