"""Tiled prediction and test-time augmentation: on shapes whose truth is known, and with a real network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit import YOLO
from segkit.core.backend import LoadOptions
from segkit.core.errors import OptionError, SourceError
from segkit.core.images.sources import open_sources
from segkit.core.inference import tiling, views
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import Session

FAKES = Path(__file__).parent / "fakes"
RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)
CLASSES = {RED: 0, GREEN: 1, BLUE: 2}


@pytest.fixture
def shapes(monkeypatch):
    """Open a session on a format that segments coloured shapes."""
    monkeypatch.syspath_prepend(str(FAKES))
    from fake_shapes import Shapes

    def make(**options) -> Session:
        backend = Shapes(**options)
        session = Session(backend, Path("x.shapes"), LoadOptions())
        session.predictor = backend.predictor
        return session

    return make


@pytest.fixture
def tiles_alone(monkeypatch):
    """Leave out the view of the whole picture, so that objects can only come from their parts."""
    original = views._Look._windows
    monkeypatch.setattr(views._Look, "_windows", lambda look: original(look)[:-1])


def run(session, source, **args):
    errors: list[SourceError] = []
    return list(session.predict(open_sources(source), PredictArguments(**args), errors.append)), errors


def scene() -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """A picture of 420x700 with a dozen shapes, some of them longer than a tile, and each one's class and mask."""
    picture = np.zeros((420, 700, 3), np.uint8)
    drawn = [
        (RED, lambda canvas, colour: cv2.line(canvas, (30, 60), (660, 90), colour, 26)),
        (GREEN, lambda canvas, colour: cv2.circle(canvas, (120, 190), 60, colour, -1)),
        (BLUE, lambda canvas, colour: cv2.ellipse(canvas, (400, 240), (170, 50), 12, 0, 360, colour, -1)),
        (RED, lambda canvas, colour: cv2.rectangle(canvas, (20, 300), (60, 400), colour, -1)),
        (RED, lambda canvas, colour: cv2.fillPoly(canvas, [np.array([[600, 150], [690, 290], [600, 290]])], colour)),
        (GREEN, lambda canvas, colour: cv2.line(canvas, (200, 390), (640, 330), colour, 20)),
        (BLUE, lambda canvas, colour: cv2.rectangle(canvas, (124, 300), (170, 340), colour, -1)),
        (RED, lambda canvas, colour: cv2.circle(canvas, (255, 160), 30, colour, -1)),
    ]
    truth = []
    for colour, draw in drawn:
        draw(picture, colour)
        alone = np.zeros(picture.shape[:2], np.uint8)
        draw(alone, 255)
        truth.append((CLASSES[colour], alone > 0))
    return picture, truth


def assert_is_the_scene(result, truth, *, least=0.85):
    """Every shape once, with its class, mask and box, and nothing else."""
    assert Counter(result.boxes.cls.int().tolist()) == Counter(colour for colour, _ in truth)
    assert list(result.boxes.conf) == sorted(result.boxes.conf, reverse=True)
    masks = result.masks.data.astype(bool)
    for colour, mask in truth:
        overlaps = [(mask & found).sum() / (mask | found).sum() for found in masks]
        best = int(np.argmax(overlaps))
        assert overlaps[best] > least
        assert int(result.boxes.cls[best]) == colour
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(result.boxes.xyxy[best], edges, atol=4)


@pytest.mark.parametrize("model", [{}, {"dynamic": False}, {"selected": True}, {"size": 640}])
def test_a_picture_in_tiles_gives_each_object_once_and_whole(shapes, model):
    picture, truth = scene()
    (result,), _ = run(shapes(**model), picture, tile=128)
    assert result.masks.data.shape[1:] == picture.shape[:2], "masks are in pixels of the picture"
    assert_is_the_scene(result, truth)


@pytest.mark.parametrize("overlap", [0.2, 0.5])
@pytest.mark.parametrize("tile", [128, (96, 160)])
def test_objects_are_put_together_from_their_parts_alone(shapes, tiles_alone, tile, overlap):
    picture, truth = scene()
    (result,), _ = run(shapes(), picture, tile=tile, overlap=overlap, rect=overlap == 0.5)
    assert_is_the_scene(result, truth, least=0.93)


def test_tiles_see_what_the_whole_picture_is_too_small_to_show(shapes):
    picture = np.zeros((1500, 2000, 3), np.uint8)
    for number in range(40):
        cv2.circle(picture, (100 + number % 8 * 250, 100 + number // 8 * 320), 9, GREEN, -1)
    (plain,), _ = run(shapes(size=128), picture)
    (tiled,), _ = run(shapes(size=128), picture, tile=256)
    assert (len(plain), len(tiled)) == (0, 40)


@pytest.mark.parametrize("variant", [(1.0, True), (0.67, False), (0.83, True), (0.4, True)])
@pytest.mark.parametrize("rect", [False, True])
def test_what_a_changed_copy_shows_lies_where_it_is_in_the_picture(shapes, monkeypatch, variant, rect):
    picture, truth = scene()
    monkeypatch.setattr(views, "VARIANTS", (variant,))
    (result,), _ = run(shapes(size=640), picture, augment=True, rect=rect)
    assert_is_the_scene(result, truth)


def test_augmentation_counts_each_object_once_in_tiles_too(shapes):
    picture, truth = scene()
    (whole,), _ = run(shapes(size=640), picture, augment=True)
    (tiled,), _ = run(shapes(), picture, augment=True, tile=256)
    assert_is_the_scene(whole, truth)
    assert_is_the_scene(tiled, truth)


@pytest.mark.parametrize(
    ("dynamic", "args", "batches"),
    [
        (True, {"batch": 4}, [4, 4, 4, 1]),
        (True, {}, [1] * 13),
        (False, {}, [1] * 13),
        (True, {"batch": 8, "augment": True}, [8, 4, 1, 8, 8, 8, 1, 1]),
    ],
)
def test_tiles_are_run_in_the_batches_asked_for(shapes, dynamic, args, batches):
    session = shapes(dynamic=dynamic)
    run(session, np.zeros((300, 400, 3), np.uint8), tile=128, **args)
    assert len(tiling.tiles((300, 400), (128, 128), 0.2)) == 12
    assert sum(session.predictor.batches) == sum(batches)
    if not args.get("augment"):
        assert session.predictor.batches == [*batches]


def test_small_and_large_and_unreadable_pictures_keep_their_order(shapes, tmp_path):
    picture, truth = scene()
    small = cv2.resize(picture, (140, 84))
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    source = [small, small, picture, str(tmp_path / "bad.jpg"), picture, small]
    results, errors = run(shapes(), source, tile=(100, 150), batch=2)
    assert [result.orig_shape for result in results] == [(84, 140)] * 2 + [(420, 700)] * 2 + [(84, 140)]
    assert [result.path for result in results] == [f"image{index}.jpg" for index in (0, 1, 2, 4, 5)]
    assert [Path(str(error.source)).name for error in errors] == ["bad.jpg"]
    assert_is_the_scene(results[2], truth)
    assert all(value is not None and value >= 0 for value in results[2].speed.values())


def test_the_limit_of_detections_holds_for_the_merged_picture(shapes):
    picture, truth = scene()
    (result,), _ = run(shapes(), picture, tile=128, max_det=3)
    (every,), _ = run(shapes(), picture, tile=128)
    np.testing.assert_array_equal(result.boxes.data, every.boxes.data[:3])
    assert len(every) == len(truth)


def test_an_empty_picture_has_no_objects_in_tiles_either(shapes):
    for options in ({"tile": 64}, {"augment": True}, {"tile": 64, "augment": True}):
        (result,), _ = run(shapes(), np.zeros((200, 300, 3), np.uint8), **options)
        assert (len(result), result.masks) == (0, None)


@pytest.mark.parametrize("option", [{"tile": 64}, {"augment": True}])
def test_a_tensor_is_refused_with_the_reason(shapes, option):
    torch = pytest.importorskip("torch")
    name = next(iter(option))
    with pytest.raises(OptionError, match=f"Option {name} needs pictures: a tensor is network input as it is"):
        run(shapes(), torch.rand(1, 3, 128, 128), **option)


def test_a_runtime_that_fails_in_the_middle_fails_the_picture(shapes, monkeypatch):
    session = shapes()
    original, calls = session.predictor.run, []

    def failing(batch):
        calls.append(1)
        if len(calls) == 5:
            raise ValueError("out of luck")
        return original(batch)

    monkeypatch.setattr(session.predictor, "run", failing)
    with pytest.raises(Exception, match="The shapes runtime failed: ValueError: out of luck"):
        run(session, scene()[0], tile=128)


# -- with a real network ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx(data) -> YOLO:
    """The n scale as an ONNX file of fixed size."""
    return YOLO(data / "foreign" / "yolov8n-seg.onnx")


def test_a_picture_that_fits_in_a_tile_is_predicted_as_ever_to_the_last_bit(onnx, bus):
    for options in ({}, {"retina_masks": True}):
        (plain,), (tiled,) = onnx.predict(bus, **options), onnx.predict(bus, tile=(1080, 810), **options)
        np.testing.assert_array_equal(plain.boxes.data, tiled.boxes.data)
        np.testing.assert_array_equal(plain.masks.data, tiled.masks.data)


def test_a_file_of_any_size_that_selects_in_its_graph_sees_the_same_in_tiles(onnx, n_seg_pt, bus, tmp_path):
    path = YOLO(n_seg_pt).export(format="onnx", output=tmp_path / "n.onnx", nms=True, dynamic=True)
    (expected,), (result,) = onnx.predict(bus, tile=640), YOLO(path).predict(bus, tile=640, batch=3)
    np.testing.assert_allclose(result.boxes.data, expected.boxes.data, atol=0.05)
    assert (result.masks.data != expected.masks.data).mean() < 1e-4


def overlap(one, other) -> float:
    """IoU of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared)


def lost(plain, other, *, conf: float) -> list[str]:
    """Objects of one result above a confidence that the other does not have."""
    theirs = list(zip(other.boxes.xyxy.numpy(), other.boxes.cls, strict=True))
    return [
        plain.names[int(kind)]
        for box, kind, confidence in zip(plain.boxes.xyxy.numpy(), plain.boxes.cls, plain.boxes.conf, strict=True)
        if confidence > conf
        if not any(int(kind) == int(label) and overlap(box, found) > 0.5 for found, label in theirs)
    ]


def test_an_object_larger_than_a_tile_has_one_whole_mask(onnx, bus):
    picture = cv2.resize(cv2.imread(str(bus)), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    (plain,), (tiled,) = onnx.predict(picture, retina_masks=True), onnx.predict(picture, tile=800)
    assert lost(plain, tiled, conf=0.5) == []
    (before,), (after,) = (result[result.boxes.cls == 5] for result in (plain, tiled))
    one, other = before.masks.data[0].astype(bool), after.masks.data[0].astype(bool)
    assert (one & other).sum() / (one | other).sum() > 0.9


def test_augmentation_finds_at_least_what_the_plain_run_is_sure_of(onnx, data, bus):
    pictures = [bus, data / "images" / "zidane.jpg"]
    pictures += sorted((data / "datasets" / "coco128-seg" / "images" / "train2017").glob("*.jpg"))[:4]
    for picture in pictures:
        (plain,), (augmented,) = onnx.predict(picture), onnx.predict(picture, augment=True)
        assert lost(plain, augmented, conf=0.5) == [], picture.name
        assert augmented.masks.data.shape[1:] == augmented.orig_shape
