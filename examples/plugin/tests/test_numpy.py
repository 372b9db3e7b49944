"""What the suite cannot know: objects in a real picture, and operators that are missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import segkit_numpy
from segkit_numpy.ops import OPS

from segkit import YOLO
from segkit.conformance.reference import seeded_weights
from segkit.core.errors import ExportError

DATA = Path(os.environ.get("SEGKIT_TEST_DATA", ""))
WEIGHTS, PICTURE = DATA / "checkpoints" / "yolov8n-seg.pt", DATA / "images" / "bus.jpg"


MAY_SKIP = os.environ.get("SEGKIT_REQUIRE_DATA") != "1" and not (WEIGHTS.is_file() and PICTURE.is_file())


@pytest.mark.skipif(MAY_SKIP, reason="no trained weights: set SEGKIT_TEST_DATA")
def test_a_real_picture_holds_the_objects_that_pytorch_sees(tmp_path):
    weights = YOLO(WEIGHTS)
    wanted = weights(PICTURE, imgsz=640, rect=False)[0]
    found = YOLO(weights.export(format="numpy", output=tmp_path / "n.npz"))(PICTURE)[0]
    assert found.boxes.cls.tolist() == wanted.boxes.cls.tolist()
    np.testing.assert_allclose(found.boxes.conf, wanted.boxes.conf, atol=2e-5)
    np.testing.assert_allclose(found.boxes.xyxy, wanted.boxes.xyxy, atol=1e-2)
    same = found.masks.data == wanted.masks.data
    assert same.mean() > 0.9999


def test_an_operator_without_a_function_is_named(tmp_path, monkeypatch):
    monkeypatch.delitem(OPS, "softmax.int")
    weights = YOLO(seeded_weights(tmp_path / "seeded-seg.safetensors"))
    with pytest.raises(ExportError, match=r"no function for the operator 'softmax.int'"):
        weights.export(format="numpy", imgsz=64, isolate=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "seeded-seg.safetensors"]


def test_an_archive_of_somebody_else_is_not_taken_for_ours(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.arange(3))
    assert segkit_numpy.NumpyBackend().recognises(tmp_path / "other.npz") is None
