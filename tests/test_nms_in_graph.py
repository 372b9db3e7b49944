"""Selection of detections inside a file: the objects of the plain file at the same limits, whatever the format."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from segkit import YOLO
from segkit.core.backend import Anchors, Selection
from segkit.core.backend.layouts import Known, arrange
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError
from segkit.core.images import ImageBatch
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import select
from segkit.core.inference.selection import within
from segkit.plugins.onnx.selection import add_selection
from segkit.plugins.torchscript.quiet import no_deprecations
from segkit.plugins.torchscript.selection import select as selected_by_torch

FORMATS = ["torchscript", "onnx"]
CARD = ModelCard({index: f"class {index}" for index in range(80)})
MANY = {"conf": 0.001, "iou": 0.6, "max_det": 1000}
CROWDED = {"conf": 0.05, "iou": 0.5, "agnostic_nms": True}
FEW = {"conf": 0.3, "max_det": 4}
EXPORTS = {
    "many": MANY | {"dynamic": True, "imgsz": 64},
    "few": FEW | {"half": True, "batch": 3, "imgsz": 320},
    "crowded": CROWDED | {"optimize": True, "imgsz": 320},
}
OPSETS = {"many": 17, "few": 24}
"""The lowest and the highest operator set that there are."""


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights with a selection inside, each made once: made("onnx", "few") → path."""
    folder = tmp_path_factory.mktemp("selecting")

    def make(name, export_name):
        given = {"nms": True} | EXPORTS[export_name] | ({"opset": OPSETS[export_name]} if name == "onnx" else {})
        links = plan(default_registry(), name, given, CARD, None)
        target = folder / links[-1].backend.format.artefact_name(export_name, links[-1].options)
        if not target.exists():
            export(default_registry(), links, n_seg_pt, target, isolate=False)
        return target

    return make


@pytest.fixture(scope="session")
def pictures(data):
    """A street, two people, a crowded table, and nothing at all."""
    paths = ("images/bus.jpg", "images/zidane.jpg", "datasets/coco128-seg/images/train2017/000000000164.jpg")
    return [*(cv2.imread(str(data / path)) for path in paths), np.full((50, 80, 3), 114, np.uint8)]


def load(path):
    backend = default_registry().recognise(path)
    return backend.load(path, backend.format.parse_load_options({"threads": 2}))


def limits(given):
    chosen = Selection(**{name.removesuffix("_nms"): value for name, value in given.items()})
    return {"conf": chosen.conf, "iou": chosen.iou, "max_det": chosen.max_det, "agnostic": chosen.agnostic}


def network_of(path):
    """What a file would give without its selection: images → Anchors. It is still in there, in front of it."""
    if path.suffix == ".onnx":
        model = onnx.load(path)
        (selecting,) = {node.input[0] for node in model.graph.node if node.input[0] == "selection/output0"}
        model.graph.output.append(helper.make_tensor_value_info(selecting, TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda images: Anchors.from_joined(*session.run([selecting, "output1"], {"images": images}))
    with no_deprecations():
        network = torch.jit.load(str(path)).float().network  # as the predictor does: half is slow on a CPU

    def run(images):
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            outputs = [output.numpy() for output in network(torch.from_numpy(images))]
        return Anchors.from_joined(*sorted(outputs, key=np.ndim))  # the tracer keeps no order inside

    return run


def same(found, wanted, tolerance):
    """Object by object: class, score, box, coefficients; `tolerance` of a pixel, a hundredth of it elsewhere."""
    assert [len(picture) for picture in found] == [len(picture) for picture in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.classes.tolist() == other.classes.tolist()
        np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=tolerance)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=tolerance / 100)
        np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=0, atol=tolerance / 100)


def check(path, given, batch, network=None, tolerance=1e-3):
    """A file gives the objects that are selected from what its network (or another) gives; returns their numbers."""
    wanted = select((network or network_of(path))(batch.f32_nchw), **limits(given))
    with load(path) as predictor:
        same(select(predictor.run(batch), **limits(given)), wanted, tolerance)
    return [len(picture) for picture in wanted]


@pytest.mark.parametrize("name", FORMATS)
def test_real_pictures_give_the_objects_of_the_network_and_batch_and_size_stay_free(made, pictures, name):
    path = made(name, "many")
    network = network_of(path)
    counts = check(path, MANY, ImageBatch(pictures, (320, 448)), network)
    assert max(counts) >= 300
    check(path, MANY, ImageBatch(pictures[2:3], (640, 640)), network)
    check(path, MANY, ImageBatch(pictures[:3], (64, 64)), network)  # fewer anchors than objects may come out


@pytest.mark.parametrize("name", FORMATS)
def test_half_files_of_a_fixed_batch_select_in_full_precision_for_every_picture(made, pictures, name):
    path = made(name, "few")
    network = network_of(path)
    for batch in (pictures[:3], pictures[3:] * 3):
        counts = check(path, FEW, ImageBatch(batch, (320, 320)), network)
        assert min(counts) > 0 if batch[0] is pictures[0] else not any(counts)  # nothing in an empty picture
    with load(path) as predictor:  # four pictures, in two portions
        found = select(predictor.run(ImageBatch(pictures, (320, 320))), **limits(FEW))
    assert [len(picture) > 0 for picture in found] == [True, True, True, False]


def test_a_frozen_file_selects_as_any_other(made, pictures):
    (count,) = check(
        made("torchscript", "crowded"),
        CROWDED,
        ImageBatch(pictures[2:3], (320, 320)),
        network_of(made("torchscript", "many")),
    )
    assert count >= 20


@pytest.mark.parametrize("name", FORMATS)
def test_the_layout_is_that_of_other_tools(made, pictures, name):
    """output0 (B, max_det, 6 + 32), rows without an object zero, and output1; float32 also in half files."""
    path = made(name, "few")
    images = ImageBatch([pictures[1], pictures[3], pictures[1]], (320, 320)).f32_nchw
    if name == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [output.name for output in session.get_outputs()] == ["output0", "output1"]
        rows, prototypes = session.run(None, {"images": images})
    else:
        with no_deprecations(), torch.inference_mode():
            module = torch.jit.load(str(path)).float()
            rows, prototypes = (output.numpy() for output in module(torch.from_numpy(images)))
    assert (rows.shape, prototypes.shape) == ((3, 4, 38), (3, 32, 80, 80))
    assert (rows.dtype, prototypes.dtype) == (np.float32, np.float32)
    assert not rows[1].any()
    found, *_ = select(arrange([rows, prototypes], (320, 320), Known(nms=True), path), conf=0.25, iou=0.7, max_det=4)
    count = len(found)
    assert 0 < count < 4
    assert not rows[0, count:].any()
    np.testing.assert_array_equal(rows[0, :count, :4], found.xyxy)
    np.testing.assert_array_equal(rows[0, :count, 4], found.confidence)
    np.testing.assert_array_equal(rows[0, :count, 5], found.classes)
    np.testing.assert_array_equal(rows[0, :count, 6:], found.coefficients)


# -- the selections alone, on numbers that real pictures do not have


def by_onnx(raw, prototypes, selection):
    """Through a network of one node whose output is its input."""
    float32 = TensorProto.FLOAT
    shape, low = ["batch", raw.shape[1], "anchors"], ["batch", prototypes.shape[1], "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["raw"], ["output0"]), helper.make_node("Identity", ["low"], ["output1"])],
        "identity",
        [helper.make_tensor_value_info("raw", float32, shape), helper.make_tensor_value_info("low", float32, low)],
        [
            helper.make_tensor_value_info("output0", float32, shape),
            helper.make_tensor_value_info("output1", float32, low),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert add_selection(model, selection) is model
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"raw": raw, "low": prototypes})[0]


with no_deprecations():
    SCRIPTED = torch.jit.script(selected_by_torch)


def by_torch(raw, prototypes, selection):
    limits = selection.conf, selection.iou, selection.max_det, selection.agnostic
    return SCRIPTED(torch.from_numpy(raw), prototypes.shape[1], *limits).numpy()


ROADS = pytest.mark.parametrize("road", [by_torch, by_onnx])


def compare(road, raw, selection, masks=2):
    """Rows of `road` are those of decode.select, and the rest is zero."""
    prototypes = np.zeros((len(raw), masks, 1, 1), np.float32)
    rows = road(raw, prototypes, selection)
    assert rows.shape == (len(raw), selection.max_det, 6 + masks)
    wanted = select(
        Anchors.from_joined(raw, prototypes),
        conf=selection.conf,
        iou=selection.iou,
        max_det=selection.max_det,
        agnostic=selection.agnostic,
    )
    for picture, found in zip(rows, wanted, strict=True):
        count = len(found)
        expected = np.column_stack([found.xyxy, found.confidence, found.classes, found.coefficients])
        np.testing.assert_array_equal(picture[:count], expected)
        assert not picture[count:].any()
    return wanted


@ROADS
@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    conf=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    iou=st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]),
    agnostic=st.booleans(),
    max_det=st.sampled_from([1, 7, 300]),
    anchors=st.sampled_from([1, 84, 700]),
)
def test_selections_decide_as_the_one_outside(road, seed, conf, iou, agnostic, max_det, anchors):
    """Scores and corners on a coarse grid: equal scores, equal boxes, and overlaps of exactly one half abound."""
    random = np.random.default_rng(seed)
    raw = np.zeros((2, 4 + 3 + 2, anchors), np.float32)
    raw[:, :2] = random.integers(0, 12, (2, 2, anchors)) * 4
    raw[:, 2:4] = random.integers(0, 8, (2, 2, anchors)) * 4  # some are empty
    raw[:, 4:7] = random.integers(0, 11, (2, 3, anchors)) / np.float32(10)
    raw[:, 7:] = random.random((2, 2, anchors))
    compare(road, raw, Selection(conf=conf, iou=iou, max_det=max_det, agnostic=agnostic))


@ROADS
def test_equal_scores_go_by_anchor_and_an_anchor_by_its_first_best_class(road):
    raw = np.zeros((1, 9, 400), np.float32)
    raw[0, 0] = np.arange(400) * 10
    raw[0, 2:4] = 4
    raw[0, 5:7] = 0.5
    (found,) = compare(road, raw, Selection(max_det=300))
    assert found.anchors.tolist() == list(range(300))
    assert set(found.classes.tolist()) == {1}


@ROADS
def test_a_long_chain_of_boxes_falls_link_by_link(road):
    """Each hits the next one only: every second stays, across the borders of the blocks that are compared at a time."""
    raw = np.zeros((1, 9, 600), np.float32)
    raw[0, 0] = np.arange(600) * 4
    raw[0, 2], raw[0, 3] = 10, 10
    raw[0, 4] = np.linspace(0.9, 0.3, 600, dtype=np.float32)
    (found,) = compare(road, raw, Selection(iou=0.4, max_det=1000))
    assert found.anchors.tolist() == list(range(0, 600, 2))


@ROADS
def test_boxes_without_numbers_are_not_selected_by_segkit(road):
    raw = np.zeros((1, 9, 3), np.float32)
    raw[0, :4] = np.array([[8, 8, 4, 4], [np.nan, 8, 4, 4], [60, 8, 4, np.inf]], np.float32).T
    raw[0, 4] = 0.9, 0.8, 0.7
    prototypes = np.zeros((1, 2, 16, 16), np.float32)
    rows = road(raw, prototypes, Selection(max_det=5))
    selected = arrange([rows, prototypes], (64, 64), Known(nms=True), "x")
    assert select(selected, conf=0.25, iou=0.7, max_det=5)[0].xyxy.tolist() == [[6, 6, 10, 10]]


# -- what a call may ask of such a file


BUILT_IN = Selection(conf=0.3, iou=0.6, max_det=50)


def asked(**given):
    return PredictArguments.model_validate(given)


def test_what_a_call_does_not_say_is_what_the_file_says():
    args = within(asked(), BUILT_IN)
    assert (args.conf, args.iou, args.max_det, args.agnostic_nms) == (0.3, 0.6, 50, False)
    assert within(args, BUILT_IN) == args  # a resolved call may be resolved again
    assert within(asked(), Selection(agnostic=True)).agnostic_nms is True
    assert within(asked(conf=0.01), None).conf == 0.01


def test_tighter_limits_and_those_built_in_are_honoured():
    tighter = within(asked(conf=0.5, iou=0.2, max_det=3, agnostic_nms=True), BUILT_IN)
    assert (tighter.conf, tighter.iou, tighter.max_det, tighter.agnostic_nms) == (0.5, 0.2, 3, True)
    equal = within(asked(conf=0.3, iou=0.6, max_det=50, agnostic_nms=False), BUILT_IN)
    assert (equal.conf, equal.max_det) == (0.3, 50)


@pytest.mark.parametrize(
    ("given", "selection"),
    [
        ({"conf": 0.29}, BUILT_IN),
        ({"iou": 0.7}, BUILT_IN),
        ({"max_det": 51}, BUILT_IN),
        ({"agnostic_nms": False}, Selection(agnostic=True)),
    ],
    ids=str,
)
def test_asking_for_what_the_graph_has_dropped_is_refused_with_what_is_built_in(given, selection):
    (name, value), *_ = given.items()
    with pytest.raises(OptionError) as refusal:
        within(asked(**given), selection)
    text = str(refusal.value)
    assert text.startswith(f"Option {name}={value} ")
    assert f"conf={selection.conf}, iou={selection.iou}, max_det={selection.max_det}" in text
    assert "without nms" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("given", [{"max_det": 30_001}, {"conf": float("nan")}, {"iou": 1.1}, {"max_det": 0}], ids=str)
def test_limits_that_no_file_can_hold_are_refused(name, given):
    """A file gives max_det rows for every picture: a billion of them take the machine with them."""
    with pytest.raises(OptionError, match=f"Option {next(iter(given))}="):
        default_registry().get(name).format.parse_export_options({"nms": True} | given)


@pytest.mark.parametrize("name", FORMATS)
def test_a_user_meets_the_limits_in_python(made, bus, name):
    model = YOLO(made(name, "few"))
    assert len(model(bus, verbose=False)[0]) == 4
    better = model(bus, conf=0.82, verbose=False)[0]
    assert 0 < len(better) < 4
    assert better.boxes.conf.min() > 0.82
    assert len(model(bus, max_det=1, verbose=False)[0]) == 1
    assert model(bus, classes=[5], verbose=False)[0].boxes.cls.tolist() == [5]
    with pytest.raises(OptionError, match=r"conf=0\.1 .*conf=0\.3, iou=0\.7, max_det=4"):
        model(bus, conf=0.1)


def test_a_user_meets_the_limits_on_the_command_line(made, bus, tmp_path):
    command = [
        sys.executable,
        "-m",
        "segkit.cli",
        "predict",
        str(made("onnx", "few")),
        str(bus),
    ]
    refused = subprocess.run([*command, "--conf", "0.2"], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "conf=0.2 asks for objects that this file has dropped" in " ".join(refused.stderr.split())
    assert not list(tmp_path.iterdir())
    given = subprocess.run([*command, "--json", "--no-save"], capture_output=True, text=True, cwd=tmp_path)
    assert given.returncode == 0, given.stderr
    assert len(json.loads(given.stdout)["images"][0]["objects"]) == 4


def test_tighter_limits_give_what_the_network_alone_gives_at_them(made, pictures):
    """A higher conf and a lower max_det exactly; a lower iou and agnostic_nms never more than they should."""
    base = {"conf": 0.05, "iou": 0.5, "max_det": 300}
    plain = network_of(made("torchscript", "many"))(ImageBatch(pictures[2:3], (320, 320)).f32_nchw)
    raw = np.concatenate([plain.boxes, plain.scores, plain.coefficients], 1)
    rows = by_torch(raw, plain.prototypes, Selection(conf=0.05, iou=0.5))
    selected = arrange([rows, plain.prototypes], (320, 320), Known(nms=True), "x")
    for tighter in ({"conf": 0.3}, {"max_det": 10}, {"conf": 0.1, "max_det": 20}):
        same(select(selected, **base | tighter), select(plain, **base | tighter), 1e-3)
    for tighter in ({"iou": 0.2}, {"iou": 0.2, "agnostic": True}):
        (found,), (all_of_it,) = select(selected, **base | tighter), select(selected, **base)
        (wanted,) = select(plain, **base | tighter)
        assert len(found) < len(all_of_it)
        assert len(found) <= len(wanted) * 1.05
        kept = set(map(tuple, wanted.xyxy.round(1).tolist()))
        assert len(kept & set(map(tuple, found.xyxy.round(1).tolist()))) >= 0.9 * len(wanted)
