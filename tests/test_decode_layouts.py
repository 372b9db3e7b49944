"""Files of many tools are read by the shapes of their outputs, and refused where that could mean two things."""

from __future__ import annotations

import numpy as np
import pytest

from segkit.core.backend import Anchors, HeadLayout, Metadata, Seal, Selected
from segkit.core.backend.layouts import Known, anchor_count, arrange
from segkit.core.errors import ModelFileError

SIZE = (128, 160)
ANCHORS = 420
FILE = "some/model.onnx"


def head(classes=3, coefficients=8, size=SIZE, batch=2, seed=0):
    """The usual pair, boxes in pixels."""
    rng = np.random.default_rng(seed)
    count = anchor_count(size)
    output0 = rng.random((batch, 4 + classes + coefficients, count), np.float32)
    output0[:, :4] *= np.array([size[1], size[0], 30, 30], np.float32)[:, None]
    return output0, rng.random((batch, coefficients, size[0] // 4, size[1] // 4), np.float32)


def swap(array):
    return np.ascontiguousarray(array.transpose(0, 2, 1))


def last(prototypes):
    return np.ascontiguousarray(prototypes.transpose(0, 2, 3, 1))


def assert_same(found, output0, output1):
    wanted = Anchors.from_joined(output0, output1)
    assert isinstance(found, Anchors)
    for name in ("boxes", "scores", "coefficients", "prototypes"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
        assert getattr(found, name).dtype == np.float32


def test_anchors_are_counted_as_the_network_does():
    assert (anchor_count((640, 640)), anchor_count(SIZE)) == (8400, ANCHORS)


@pytest.mark.parametrize(
    "tool",
    [
        lambda a, b: [a, b],
        lambda a, b: [b, a],
        lambda a, b: [swap(a), b],
        lambda a, b: [a, last(b)],
        lambda a, b: [last(b), swap(a)],
        lambda a, b: [a[:, :4], a[:, 4:7], a[:, 7:], b],
        lambda a, b: [b, a[:, 7:], swap(a[:, :4]), a[:, 4:7]],
        lambda a, b: [swap(a[:, 4:7]), swap(a[:, :4]), last(b), swap(a[:, 7:])],
        lambda a, b: [a, a[:, 7:], b, np.zeros((2, 67, 16, 20)), np.zeros((2, 67, 8, 10)), np.zeros((2, 67, 4, 5))],
        lambda a, b: {"x": a, "y": b},
        lambda a, b: {"scores": a[:, 4:7], "prototypes": b, "boxes": a[:, :4], "coefficients": a[:, 7:]},
    ],
    ids=[
        "joined",
        "other order",
        "transposed",
        "channels last",
        "all at once",
        "split",
        "split, mixed",
        "split, channels last",
        "with the raw levels beside them",
        "by name",
        "split, by name",
    ],
)
def test_the_layouts_of_other_tools_give_the_same_anchors(tool):
    pair = head()
    assert_same(arrange(tool(*pair), SIZE, Known(), FILE), *pair)
    assert_same(arrange(tool(*pair), SIZE, Known(classes=3, coefficients=8), FILE), *pair)


def test_outputs_of_the_usual_layout_are_not_copied():
    output0, output1 = head()
    found = arrange([output0, output1], SIZE, Known(), FILE)
    assert all(np.shares_memory(part, output0) for part in (found.boxes, found.scores, found.coefficients))
    assert found.prototypes is output1 or np.shares_memory(found.prototypes, output1)


def test_half_precision_becomes_float32():
    pair = [part.astype(np.float16) for part in head()]
    assert_same(arrange(pair, SIZE, Known(), FILE), *(part.astype(np.float32) for part in pair))


@pytest.mark.parametrize("known", [Known(), Known(unit_boxes=True)], ids=["by value", "by metadata"])
def test_boxes_in_units_of_the_sides_become_pixels(known):
    output0, output1 = head()
    unit = output0.copy()
    unit[:, :4] /= np.array([160, 128, 160, 128], np.float32)[:, None]
    found = arrange([unit, output1], SIZE, known, FILE)
    assert np.allclose(found.boxes, output0[:, :4], rtol=1e-6)
    assert unit[:, :4].max() < 2  # the runtime's own array is left alone


def test_metadata_beat_values_that_prove_nothing():
    output0, output1 = head()
    output0[:, :4] /= 8
    found = arrange([output0, output1], SIZE, Known(unit_boxes=False), FILE)
    assert np.array_equal(found.boxes, output0[:, :4])
    for value in (np.nan, np.inf):  # the session tells of these
        output0[:, :4] = value
        arrange([output0, output1], SIZE, Known(unit_boxes=True), FILE)


@pytest.mark.parametrize("split", [False, True])
def test_a_wrong_number_of_names_is_told_as_such(split):
    output0, output1 = head(classes=3)
    parts = [output0[:, :4], output0[:, 4:7], output0[:, 7:], output1] if split else [output0, output1]
    with pytest.raises(ModelFileError, match="metadata name 2 classes, and it has scores for 3: names needs one for"):
        arrange(parts, SIZE, Known(classes=2), FILE)


def test_metadata_that_the_boxes_contradict_are_refused():
    """Else there are no objects, and no word why."""
    output0, output1 = head()
    with pytest.raises(ModelFileError, match=r"boxes are in units of its sides, and they reach x = 16.*as pixels do"):
        arrange([output0, output1], SIZE, Known(unit_boxes=True), FILE)
    output0[:, :4] /= 160
    with pytest.raises(ModelFileError, match=r"boxes are in pixels, .* as units of its sides do: was head\.boxes edit"):
        arrange([output0, output1], SIZE, Known(unit_boxes=False), FILE)


def test_boxes_that_are_neither_pixels_nor_units_are_refused():
    output0, output1 = head()
    output0[:, :4] /= 8  # in cells
    with pytest.raises(ModelFileError, match="neither pixels nor units"):
        arrange([output0, output1], SIZE, Known(), FILE)


def selection(count=5, coefficients=8):
    rng = np.random.default_rng(1)
    rows = rng.random((2, count, 6 + coefficients), np.float32) + 0.1
    rows[:, :, 5] = [[0, 1, 2, 1, 0], [2, 2, 0, 0, 1]]
    rows[0, 3:, 4] = 0
    rows[1, :, 4] = 0
    return rows


def test_a_selection_made_in_the_graph_loses_its_padding():
    rows, (_, prototypes) = selection(), head()
    found = arrange([prototypes, rows], SIZE, Known(), FILE)
    assert isinstance(found, Selected)
    assert [len(part) for part in found.confidence] == [3, 0]
    assert np.array_equal(found.xyxy[0], rows[0, :3, :4])
    assert np.array_equal(found.coefficients[0], rows[0, :3, 6:])
    assert (found.classes[0].tolist(), found.classes[0].dtype) == ([0, 1, 2], np.int64)
    assert found.prototypes.shape == prototypes.shape


def test_a_selection_in_units_becomes_pixels_when_the_metadata_says_so():
    rows, (_, prototypes) = selection(), head()
    found = arrange([rows, prototypes], SIZE, Known(unit_boxes=True), FILE)
    assert np.allclose(found.xyxy[0], rows[0, :3, :4] * [160, 128, 160, 128])


def test_two_classes_transposed_and_a_full_selection_differ_by_metadata_only():
    output0, output1 = head(classes=2)
    outputs = [swap(output0), output1]  # (2, 420, 14): 4 + 2 + 8 channels, or 420 objects of 6 + 8
    assert isinstance(arrange(outputs, SIZE, Known(nms=False), FILE), Anchors)
    assert isinstance(arrange(outputs, SIZE, Known(nms=True), FILE), Selected)
    with pytest.raises(ModelFileError, match="in several ways"):
        arrange(outputs, SIZE, Known(), FILE)


def test_cubic_prototypes_need_to_be_known_as_channels_first_or_last():
    output0, output1 = head(coefficients=32, size=(128, 128))
    assert_same(arrange([output0, output1], (128, 128), Known(channels_last=False), FILE), output0, output1)
    assert_same(arrange([output0, last(output1)], (128, 128), Known(channels_last=True), FILE), output0, output1)
    with pytest.raises(ModelFileError, match="in several ways"):
        arrange([output0, output1], (128, 128), Known(), FILE)


def test_as_many_channels_as_anchors_need_to_be_known_as_transposed_or_not():
    output0, output1 = head(classes=72, size=(64, 64))
    assert output0.shape[1:] == (84, 84)
    assert_same(arrange([output0, output1], (64, 64), Known(transposed=False), FILE), output0, output1)
    with pytest.raises(ModelFileError, match="in several ways"):
        arrange([output0, output1], (64, 64), Known(), FILE)


def test_split_outputs_of_equal_shape_need_names():
    output0, output1 = head(classes=8)
    parts = [output0[:, :4], output0[:, 4:12], output0[:, 12:], output1]
    names = ("boxes", "scores", "coefficients", "prototypes")
    assert_same(arrange(dict(zip(names, parts, strict=True)), SIZE, Known(), FILE), output0, output1)
    with pytest.raises(ModelFileError, match="in several ways"):
        arrange(parts, SIZE, Known(), FILE)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(1, 7, ANCHORS)], "no mask prototypes"),
        ([(1, 300, 6)], "no mask prototypes"),
        ([(1, 1000)], "classification"),
        ([], r"\(none\)"),
        ([(1, 15, 99), (1, 8, 32, 40)], "do not belong"),
        ([(1, 15, ANCHORS), (1, 8, 16, 20)], "do not belong"),
        ([(1, 15, ANCHORS), (2, 8, 32, 40)], "do not belong"),
        ([(1, 12, ANCHORS), (1, 8, 32, 40)], "do not belong"),
        ([(1, 15, ANCHORS), (1, 15, ANCHORS), (1, 8, 32, 40)], "in several ways"),
    ],
)
def test_foreign_outputs_are_refused_with_what_they_are_and_what_is_expected(shapes, words):
    with pytest.raises(ModelFileError, match=words) as caught:
        arrange([np.zeros(shape, np.float32) for shape in shapes], SIZE, Known(coefficients=8), FILE)
    message = str(caught.value)
    assert "\n" not in message
    assert FILE in message
    assert "(B, 12 + nc, 420) and (B, 8, 32, 40)" in message
    assert all(str(shape) in message for shape in shapes)


def test_what_is_known_comes_from_the_metadata():
    names = {0: "a", 1: "b"}
    assert Known.of(None) == Known()
    assert Known.of(Metadata(names=names)) == Known(classes=2)
    assert Known.of(Metadata(names=names, args={"nms": True}), channels_last=True) == Known(2, None, True, None, True)
    sealed = Metadata(names=names, segkit=Seal(coefficients=16, head=HeadLayout(boxes="unit")))
    assert Known.of(sealed) == Known(2, 16, nms=False, unit_boxes=True, transposed=False)
