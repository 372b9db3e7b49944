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


@pytest.fixture(scope="session")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights, each made once: made("onnx", nms=True) → path."""
    folder, cache = tmp_path_factory.mktemp("selecting"), {}

    def make(name, **options):
        key = f"{name} {sorted(options.items())}"
        if key not in cache:
            links = plan(default_registry(), name, {"imgsz": 320} | options, CARD, None)
            target = folder / str(len(cache)) / links[-1].backend.format.artefact_name("n", links[-1].options)
            target.parent.mkdir()
            export(default_registry(), links, n_seg_pt, target, isolate=False)
            cache[key] = target
        return cache[key]

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


def same(found, wanted, tolerance):
    """Object by object: class, score, box, coefficients; `tolerance` of a pixel, a hundredth of it elsewhere."""
    assert [len(picture) for picture in found] == [len(picture) for picture in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.classes.tolist() == other.classes.tolist()
        np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=tolerance)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=tolerance / 100)
        np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=0, atol=tolerance / 100)


def check(plain, selecting, given, batch, tolerance=1e-3):
    """The file `selecting` gives the objects that are selected from what `plain` gives; returns their numbers."""
    with load(plain) as one, load(selecting) as other:
        wanted = select(one.run(batch), **limits(given))
        same(select(other.run(batch), **limits(given)), wanted, tolerance)
    return [len(picture) for picture in wanted]


@pytest.mark.parametrize("name", FORMATS)
def test_real_pictures_give_the_objects_of_the_plain_file(made, pictures, name):
    plain, selecting = made(name, dynamic=True), made(name, dynamic=True, nms=True, **MANY)
    counts = [check(plain, selecting, MANY, ImageBatch([picture], (640, 640))) for picture in pictures]
    assert max(counts)[0] >= 400


@pytest.mark.parametrize("name", FORMATS)
def test_a_free_batch_and_size_stay_free(made, pictures, name):
    plain, selecting = made(name, dynamic=True), made(name, dynamic=True, nms=True, **MANY)
    check(plain, selecting, MANY, ImageBatch(pictures[:1], (320, 448)))
    check(plain, selecting, MANY, ImageBatch(pictures[:3], (64, 64)))  # fewer anchors than objects may come out


@pytest.mark.parametrize(("name", "more"), [("torchscript", {}), ("onnx", {"opset": 17})], ids=FORMATS)
def test_half_files_of_a_fixed_batch_select_in_full_precision_for_every_picture(made, pictures, name, more):
    plain, selecting = made(name, half=True, batch=3, **more), made(name, half=True, batch=3, nms=True, **more)
    counts = check(plain, selecting, {}, ImageBatch(pictures, (320, 320)))  # four pictures, in two portions
    assert min(counts[:3]) > 0
    assert counts[3] == 0  # nothing in an empty picture


def test_a_frozen_file_selects_as_any_other(made, pictures):
    selecting = made("torchscript", nms=True, optimize=True, **CROWDED)
    check(made("torchscript", dynamic=True), selecting, CROWDED, ImageBatch(pictures[2:3], (320, 320)))


def few(made, name):
    """A file that gives four objects at most; in the highest operator set that there is."""
    return made(name, nms=True, conf=0.3, max_det=4, **({"opset": 24} if name == "onnx" else {}))


@pytest.mark.parametrize("name", FORMATS)
def test_the_layout_is_that_of_other_tools(made, pictures, name):
    """output0 (B, max_det, 6 + 32), rows without an object zero, and output1."""
    path = few(made, name)
    images = ImageBatch(pictures[1:2], (320, 320)).f32_nchw
    if name == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [output.name for output in session.get_outputs()] == ["output0", "output1"]
        rows, prototypes = session.run(None, {"images": images})
    else:
        with no_deprecations(), torch.inference_mode():
            rows, prototypes = (output.numpy() for output in torch.jit.load(str(path))(torch.from_numpy(images)))
    assert (rows.shape, prototypes.shape) == ((1, 4, 38), (1, 32, 80, 80))
    assert (rows.dtype, prototypes.dtype) == (np.float32, np.float32)
    (found,) = select(arrange([rows, prototypes], (320, 320), Known(nms=True), path), conf=0.25, iou=0.7, max_det=4)
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
def test_a_user_meets_the_limits_in_python(made, bus, name):
    model = YOLO(few(made, name))
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
        str(few(made, "onnx")),
        str(bus),
    ]
    refused = subprocess.run([*command, "--conf", "0.2"], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "conf=0.2 asks for objects that this file has dropped" in " ".join(refused.stderr.split())
    assert not list(tmp_path.iterdir())
    given = subprocess.run([*command, "--json", "--no-save"], capture_output=True, text=True, cwd=tmp_path)
    assert given.returncode == 0, given.stderr
    assert len(json.loads(given.stdout)["images"][0]["objects"]) == 4


def test_tighter_limits_give_what_the_plain_file_gives_at_them(made, pictures):
    """A higher conf and a lower max_det exactly; a lower iou and agnostic_nms never more than they should."""
    batch = ImageBatch(pictures[2:3], (320, 320))
    base = {"conf": 0.05, "iou": 0.5, "max_det": 300}
    plain, selecting = made("torchscript", dynamic=True), made("torchscript", nms=True, conf=0.05, iou=0.5)
    with load(plain) as one, load(selecting) as other:
        plain, selected = one.run(batch), other.run(batch)
    for tighter in ({"conf": 0.3}, {"max_det": 10}, {"conf": 0.1, "max_det": 20}):
        same(select(selected, **base | tighter), select(plain, **base | tighter), 1e-3)
    for tighter in ({"iou": 0.2}, {"iou": 0.2, "agnostic": True}):
        (found,), (all_of_it,) = select(selected, **base | tighter), select(selected, **base)
        (wanted,) = select(plain, **base | tighter)
        assert len(found) < len(all_of_it)
        assert len(found) <= len(wanted) * 1.05
        kept = set(map(tuple, wanted.xyxy.round(1).tolist()))
        assert len(kept & set(map(tuple, found.xyxy.round(1).tolist()))) >= 0.9 * len(wanted)
