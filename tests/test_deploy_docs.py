"""The programs of docs/deploy run exported files without segkit, and find what segkit finds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tpu_on_cpu import OnCpu
from pretended_gpu import pretend

from segkit import YOLO
from segkit.core.backend.registry import default_registry
from segkit.core.images import ImageBatch
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import Session
from segkit.plugins.coreml.evaluator import Evaluator
from segkit.plugins.coreml.package import read_description
from segkit.plugins.coreml.program import read_program

pytestmark = pytest.mark.usefixtures("translated_once")

PAGES = Path(__file__).parent.parent / "docs" / "deploy"

ALONE = """
import importlib.abc, runpy, sys
import numpy as np

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {banned!r}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Nothing())
sys.argv[1:] = [{model!r}, {picture!r}, {drawn!r}]
module = runpy.run_path({program!r}, run_name="__main__")
np.savez({found!r}, **{{name: module[name] for name in ("boxes", "scores", "classes", "masks")}})
print("imported:", set({banned!r}) & {{name.partition(".")[0] for name in sys.modules}})
"""


def program(page):
    """The page's program."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return blocks[0]


def run_alone(page, model, picture, folder):
    """What the page's program finds where segkit cannot be imported, and what it prints."""
    (folder / "objects.py").write_text(program(page), encoding="utf-8")
    places = {"model": model, "picture": picture, "drawn": folder / "drawn.png", "found": folder / "found.npz"}
    code = ALONE.format(
        program=str(folder / "objects.py"), banned=BANNED[page], **{name: str(path) for name, path in places.items()}
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("imported: set()\n")
    return dict(np.load(places["found"])), done.stdout


BANNED = {
    "coreml.md": ["onnxruntime", "segkit", "torch"],
    "edgetpu.md": ["onnxruntime", "segkit", "tensorflow", "torch"],
    "engine.md": ["segkit", "torch"],
    "ncnn.md": ["onnxruntime", "pnnx", "segkit", "torch"],
    "onnx.md": ["onnx", "segkit", "torch"],
    "openvino.md": ["nncf", "onnxruntime", "segkit", "torch"],
    "paddle.md": ["onnxruntime", "segkit", "torch"],
    "pb.md": ["onnxruntime", "segkit", "torch"],
    "saved_model.md": ["onnxruntime", "segkit", "torch"],
    "tflite.md": ["onnxruntime", "segkit", "tensorflow", "torch"],
    "torchscript.md": ["onnxruntime", "segkit"],
}
WIDE = {"imgsz": (480, 640)}
CASES = [
    ("coreml.md", {"format": "coreml", **WIDE, "half": True}),
    ("coreml.md", {"format": "coreml", **WIDE, "nms": True}),
    ("ncnn.md", {"format": "ncnn", **WIDE}),
    ("ncnn.md", {"format": "ncnn", **WIDE, "half": True, "dynamic": True}),
    ("onnx.md", {"format": "onnx", **WIDE}),
    ("onnx.md", {"format": "onnx", **WIDE, "nms": True}),
    ("onnx.md", {"format": "onnx", **WIDE, "half": True}),
    ("openvino.md", {"format": "openvino", **WIDE}),
    ("openvino.md", {"format": "openvino", **WIDE, "nms": True}),
    ("paddle.md", {"format": "paddle", **WIDE}),
    ("pb.md", {"format": "pb", **WIDE}),
    ("saved_model.md", {"format": "saved_model", **WIDE}),
    ("tflite.md", {"format": "tflite", **WIDE}),
    ("torchscript.md", {"format": "torchscript", **WIDE}),
    ("torchscript.md", {"format": "torchscript", **WIDE, "nms": True}),
]


CORE_ML = """
import types
import numpy as np

class MLModel:
    def __init__(self, path):
        self._saved = dict(np.load("saved.npz"))
        self.user_defined_metadata = {name[2:]: str(self._saved[name]) for name in self._saved if name[:2] == "p:"}

    def predict(self, given):
        (picture,) = given.values()
        assert list(given) == ["image"] and picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), self._saved["image"])
        return {name: self._saved[name] for name in ("output1", "output0")}

models = types.SimpleNamespace(MLModel=MLModel)
"""
"""Stands in for coremltools, whose `predict` works on macOS only: it has been told what the package computes."""


def lay_down_core_ml(model, picture, folder):
    """The stand-in, in the folder in which a program is run."""
    path = Path(model)
    package = read_description(path)
    shown = ImageBatch([cv2.imread(str(picture))], WIDE["imgsz"]).u8_nhwc
    evaluator = Evaluator(read_program(path, package))
    made = evaluator.run({"image": shown.transpose(0, 3, 1, 2).astype(np.float32)})
    said = {f"p:{name}": text for name, text in package.properties.items()}
    np.savez(folder / "saved.npz", image=shown[0], **made, **said)
    (folder / "coremltools.py").write_text(CORE_ML, encoding="utf-8")


@pytest.fixture
def pretended_gpu(monkeypatch, tmp_path):
    """A GPU with TensorRT that onnxruntime computes for: there is no real one to run the page's program on."""
    yield pretend(monkeypatch, tmp_path / "site")(("NVIDIA Pretend", (8, 9)))
    sys.modules.pop("tensorrt", None)


def test_the_program_of_the_engine_page_finds_what_segkit_finds(n_seg_pt, bus, tmp_path, pretended_gpu):
    test_the_program_of_a_page_finds_what_segkit_finds(
        n_seg_pt, bus, tmp_path, "engine.md", {"format": "engine", "runtime": "standard", **WIDE}
    )


def test_the_command_of_the_engine_page_leaves_the_plan_alone(tmp_path):
    (line,) = re.findall(r"^python -c .*$", (PAGES / "engine.md").read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "yolov8n-seg.engine").write_bytes(b"\x02\0\0\0{}vtrt and so on")
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True)
    assert (tmp_path / "model.plan").read_bytes() == b"vtrt and so on"


@pytest.mark.parametrize(("page", "options"), CASES, ids=str)
def test_the_program_of_a_page_finds_what_segkit_finds(n_seg_pt, bus, tmp_path, page, options):
    model = YOLO(n_seg_pt).export(**options, output=tmp_path / "model", isolate=False)
    if page == "coreml.md":
        lay_down_core_ml(model, bus, tmp_path)
    wanted = YOLO(model).predict(bus, retina_masks=True)[0]
    found, printed = run_alone(page, model, bus, tmp_path)
    assert len(wanted) >= 4
    assert found["classes"].tolist() == wanted.boxes.cls.tolist()
    np.testing.assert_allclose(found["scores"], wanted.boxes.conf, atol=1e-4)
    np.testing.assert_allclose(found["boxes"], wanted.boxes.xyxy, atol=0.5)
    masks = wanted.masks.data
    assert found["masks"].shape == masks.shape
    overlap = (found["masks"] & masks).sum((1, 2)) / (found["masks"] | masks).sum((1, 2))
    assert overlap.min() > 0.98
    names = [wanted.names[int(label)] for label in wanted.boxes.cls]
    assert [line.partition(" [")[0] for line in printed.splitlines()[:-1]] == [
        f"{name} {score:.2f}" for name, score in zip(names, found["scores"], strict=True)
    ]
    drawn, original = cv2.imread(str(tmp_path / "drawn.png")), cv2.imread(str(bus))
    assert ((drawn != original).any(2) == masks.any(0)).mean() > 0.98


@pytest.mark.parametrize("quantize", ["integer", "full_integer"])
def test_the_program_of_the_tflite_page_runs_files_in_8_bits(n_seg_pt, bus, data, tmp_path, quantize):
    shown = {"data": str(data / "datasets" / "coco128-seg" / "coco128-seg.yaml"), "fraction": 0.04}
    options = {"format": "tflite", "int8": True, "quantize": quantize, **WIDE, **shown}
    test_the_program_of_a_page_finds_what_segkit_finds(n_seg_pt, bus, tmp_path, "tflite.md", options)


def test_the_program_of_the_edge_tpu_page_finds_what_its_predictor_finds(n_seg_pt, bus, data, tmp_path):
    """On the CPU, with the file that is to be compiled: there is no Edge TPU here."""
    on_cpu, registry = OnCpu(), default_registry()
    pictures = str(data / "datasets" / "coco128-seg" / "**" / "*.jpg")
    options = {"compile": False, "data": pictures, "fraction": 0.2, **WIDE, "isolate": False}
    model = YOLO(n_seg_pt).export(format="edgetpu", **options, output=tmp_path / "model.tflite")
    assert registry.recognise(Path(model)).format.name == "edgetpu"
    session = Session(on_cpu, Path(model), on_cpu.format.parse_load_options({}))
    with closing(session):
        (wanted,) = session.predict(open_sources([cv2.imread(str(bus))]), PredictArguments(retina_masks=True), refuse)
    found, printed = run_alone("edgetpu.md", model, bus, tmp_path)
    assert len(wanted) >= 3
    assert found["classes"].tolist() == wanted.boxes.cls.tolist()
    np.testing.assert_allclose(found["scores"], wanted.boxes.conf, atol=1e-4)
    np.testing.assert_allclose(found["boxes"], wanted.boxes.xyxy, atol=0.5)
    overlap = (found["masks"] & wanted.masks.data).sum((1, 2)) / (found["masks"] | wanted.masks.data).sum((1, 2))
    assert overlap.min() > 0.98
    assert "\nbus 0." in printed


def refuse(error):
    raise error


def test_a_picture_without_objects_gives_none(n_seg_pt, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((90, 120, 3), 114, np.uint8))
    for nms in (False, True):
        model = YOLO(n_seg_pt).export(format="onnx", nms=nms, imgsz=64, output=tmp_path / f"{nms}.onnx", isolate=False)
        found, printed = run_alone("onnx.md", model, tmp_path / "grey.png", tmp_path)
        assert found["masks"].shape == (0, 90, 120)
        assert printed == "imported: set()\n"
