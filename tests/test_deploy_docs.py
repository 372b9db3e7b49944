"""The programs of docs/deploy run exported files without segkit, and find what segkit finds."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
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
from segkit.conformance.golden import GOLDEN
from segkit.core.backend import tools_folder
from segkit.core.backend.registry import default_registry
from segkit.core.files import new_folder
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


def test_the_program_of_the_engine_page_says_that_it_takes_one_picture(tmp_path, bus, pretended_gpu):
    options = {"format": "engine", "runtime": "standard", "imgsz": 64, "batch": 2}
    path = YOLO(GOLDEN).export(**options, output=tmp_path / "two.engine", isolate=False)
    (tmp_path / "objects.py").write_text(program("engine.md"), encoding="utf-8")
    command = [sys.executable, "-O", "objects.py", str(path), str(bus), "objects.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("two.engine takes 2 pictures at once, and here is one\n")


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


@pytest.fixture
def in_node(tensorflow_js, tmp_path):
    """A folder with the program of the TensorFlow.js page, and what its package.json lists, fetched once."""
    page = (PAGES / "tfjs.md").read_text(encoding="utf-8")
    for name, kind in (("objects.js", "js"), ("package.json", "json")):
        (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(text, encoding="utf-8")
    kept = tools_folder() / f"page-{hashlib.sha256((tmp_path / 'package.json').read_bytes()).hexdigest()[:12]}"
    if not kept.exists():
        with new_folder(kept) as made:
            shutil.copy(tmp_path / "package.json", made)
            command = [shutil.which("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=made, check=True, capture_output=True)
    (tmp_path / "node_modules").symlink_to(kept / "node_modules")
    return tmp_path


@pytest.mark.parametrize("options", [{}, {"half": True}], ids=str)
def test_the_program_of_the_tensorflow_js_page_finds_what_segkit_finds(n_seg_pt, bus, in_node, options):
    model = YOLO(n_seg_pt).export(format="tfjs", **WIDE, **options, output=in_node / "model", isolate=False)
    wanted = YOLO(model).predict(bus, retina_masks=True)[0]
    command = [shutil.which("node"), "objects.js", str(model), str(bus), "drawn.jpg"]
    done = subprocess.run(command, cwd=in_node, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = (line.rsplit(" ", 2) for line in done.stdout.splitlines())
    found = sorted((name, json.loads(box), float(score)) for name, score, box in told)
    names = [wanted.names[int(label)] for label in wanted.boxes.cls]
    seen = sorted(zip(names, wanted.boxes.xyxy.tolist(), wanted.boxes.conf.tolist(), strict=True))
    assert len(found) >= 4
    assert [name for name, *_ in found] == [name for name, *_ in seen]
    # Its JPEGs are read by another library, and scaled in other arithmetic.
    np.testing.assert_allclose([box for _, box, _ in found], [box for _, box, _ in seen], atol=4)
    np.testing.assert_allclose([score for *_, score in found], [score for *_, score in seen], atol=0.03)
    drawn, original = cv2.imread(str(in_node / "drawn.jpg")).astype(int), cv2.imread(str(bus)).astype(int)
    changed, masks = np.abs(drawn - original).max(2) > 24, wanted.masks.data.any(0)
    assert (changed == masks).mean() > 0.95


def test_a_picture_without_objects_gives_none(n_seg_pt, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((90, 120, 3), 114, np.uint8))
    for nms in (False, True):
        model = YOLO(n_seg_pt).export(format="onnx", nms=nms, imgsz=64, output=tmp_path / f"{nms}.onnx", isolate=False)
        found, printed = run_alone("onnx.md", model, tmp_path / "grey.png", tmp_path)
        assert found["masks"].shape == (0, 90, 120)
        assert printed == "imported: set()\n"
