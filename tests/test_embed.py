"""Feature vectors of pictures."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from segkit import YOLO
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import ImageBatch

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def model(n_seg_pt) -> YOLO:
    return YOLO(n_seg_pt)


@pytest.fixture(scope="module")
def pictures(data) -> list[np.ndarray]:
    """A street, a room, and the street mirrored."""
    street, room = (cv2.imread(str(data / "images" / name)) for name in ("bus.jpg", "zidane.jpg"))
    return [street, room, np.ascontiguousarray(street[:, ::-1])]


def cosine(one, other) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_vector_is_the_mean_of_the_maps_that_the_layers_give(model, pictures):
    """Compared with what hooks on the network itself see."""
    wanted = [4, 15, 21]
    seen = {}
    hooks = [
        model.network.model[index].register_forward_hook(lambda *call, index=index: seen.update({index: call[2]}))
        for index in wanted
    ]
    with torch.inference_mode():
        model.network(torch.from_numpy(ImageBatch(pictures[:1], (640, 640)).f32_nchw.copy()))
    for hook in hooks:
        hook.remove()
    expected = np.concatenate([seen[index].mean((2, 3))[0].numpy() for index in wanted])
    (vector,) = model.embed(pictures[0], layers=wanted)
    assert (vector.shape, vector.dtype) == (expected.shape, np.float32)
    np.testing.assert_allclose(vector, expected, atol=2e-4)


def test_the_last_layer_before_the_head_is_the_default_and_counts_as_minus_two(model, pictures):
    (default,), (named,), (counted,) = (model.embed(pictures[0], layers, imgsz=160) for layers in (None, [21], [-2]))
    assert default.shape == (256,)
    np.testing.assert_array_equal(default, named)
    np.testing.assert_array_equal(default, counted)


def test_layers_are_joined_in_the_order_given(model, pictures):
    (joined,) = model.embed(pictures[0], [21, 4], imgsz=160)
    (last,), (early,) = model.embed(pictures[0], [21], imgsz=160), model.embed(pictures[0], [4], imgsz=160)
    np.testing.assert_allclose(joined, np.concatenate([last, early]), atol=1e-6)


def test_a_picture_is_nearer_to_its_mirror_image_than_to_another(model, pictures):
    street, room, mirrored = model.embed(pictures, imgsz=160)
    assert cosine(street, mirrored) > 0.95 > cosine(street, room)


def test_batches_change_the_speed_and_not_the_vectors(model, pictures):
    one, two = model.embed(pictures, imgsz=160), model.embed(pictures, imgsz=160, batch=2)
    assert len(one) == len(two) == 3
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_predict_with_embed_gives_the_same_vectors(model, pictures):
    expected = model.embed(pictures, [15, 21], imgsz=160)
    np.testing.assert_array_equal(model.predict(pictures, embed=[15, 21], imgsz=160, verbose=False), expected)
    np.testing.assert_array_equal(model(pictures, embed=[15, 21], imgsz=160), expected)


def test_tensors_are_network_input_and_may_be_mixed_with_pictures(model, pictures):
    tensors = torch.from_numpy(ImageBatch(pictures[:2], (160, 160)).f32_nchw.copy())
    vectors = model.embed([pictures[0], tensors, pictures[1]], imgsz=160, batch=4)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)
    np.testing.assert_allclose(vectors[3], vectors[2], atol=1e-4)
    with pytest.raises(OptionError, match="multiples of 32"):
        model.embed(torch.rand(1, 3, 100, 64))


def test_unreadable_pictures_are_left_out_and_told_of(model, pictures, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    errors: list[SourceError] = []
    vectors = model.embed([pictures[0], str(tmp_path / "bad.jpg")], imgsz=160, on_error=errors.append)
    assert (len(vectors), len(errors)) == (1, 1)
    model.embed([pictures[0], str(tmp_path / "bad.jpg")], imgsz=160)
    assert "skipped: Cannot read" in capsys.readouterr().err
    with pytest.raises(SourceError, match=r"none of the 2 pictures"):
        model.embed([str(tmp_path / "bad.jpg")] * 2, imgsz=160, on_error=errors.append)


def test_other_weights_give_other_vectors(data, pictures, tmp_path):
    model = YOLO("yolov8n-seg.yaml")
    (before,) = model.embed(pictures[0], imgsz=160)
    model.load(data / "checkpoints" / "yolov8n.pt")
    (after,) = model.embed(pictures[0], imgsz=160)
    assert np.abs(before - after).max() > 0.01


def test_predictions_are_what_they_were_after_an_embedding(n_seg_pt, pictures, tmp_path):
    shutil.copy(n_seg_pt, tmp_path / "n.pt")
    model = YOLO(tmp_path / "n.pt")
    (before,) = model.predict(pictures[0], imgsz=160)
    model.embed(pictures[0], imgsz=160)
    (after,) = model.predict(pictures[0], imgsz=160)
    np.testing.assert_array_equal(before.boxes.data, after.boxes.data)
    assert not model.network.fused, "the network of the user is left as it is"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conf": 0.3}, "Unknown option 'conf' for embed. Accepted: batch, device, imgsz, layers"),
        ({"layers": [22]}, "layers=22 is not usable: the layers before the head are 0 to 21"),
        ({"layers": [-24]}, "layers=-24 is not usable"),
        ({"layers": []}, "give numbers of layers in a list"),
        ({"layers": 15}, "layers=15 is not usable: give numbers of layers in a list"),
        ({"layers": "15"}, "give numbers of layers in a list"),
        ({"device": "cuda:99"}, "device='cuda:99' is not usable: torch offers cpu"),
        ({"imgsz": "big"}, "imgsz"),
        ({"source": None}, "embed needs a source"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_one_line(model, options, words):
    with pytest.raises(OptionError, match=words.replace("[", r"\[")):
        model.embed(**{"source": np.zeros((64, 64, 3), np.uint8), **options})


def test_an_artefact_has_no_layers_to_look_into(data):
    with pytest.raises(OptionError, match=r"An embedding needs weights such as yolov8n-seg\.pt; .* exported"):
        YOLO(data / "foreign" / "yolov8n-seg.onnx").embed(np.zeros((64, 64, 3), np.uint8))
