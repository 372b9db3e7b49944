"""The benchmarks run: each once, as short as possible. What they measure is not judged here."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("segkit_benchmarks", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_run_and_explained(main):
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"__main__", "common", "memory", "peer", "training_run"}
    assert scripts == set(main.ORDER) == set(re.findall(r"^\| `(\w+)\.py` \|", README, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latency", "<= 1.1\n"),
        ("postprocess", "segkit, against the dense way"),
        ("folder", ">= 0.90"),
        ("large", "segkit, RLE: 300 masks"),
        ("scan", "Labels and sizes of 128"),
        ("evaluation", "segkit, against pycocotools"),
        ("startup", "segkit --help"),
        ("pools", "onnx right after PyTorch"),
        ("loader", "segkit"),
        ("training", "loader and step, 160 px"),
        ("formats", "onnx fp32"),
        ("quality", "segkit, mean"),
    ],
)
def test_a_benchmark_runs_without_the_peer_and_says_that_it_is_absent(name, words, data):
    some = ["--formats", "onnx"] if name == "formats" else []
    said = run(f"{name}.py", "--quick", "--model", data / "foreign" / "yolov8n-seg.onnx", *some)
    assert words in said
    assert ("peer absent" in said) is (name not in ("pools", "evaluation"))


def test_a_wrong_interpreter_is_one_clear_line(data):
    command = [sys.executable, str(FOLDER / "startup.py"), "--peer", "no/such/python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--peer is a Python interpreter; there is no 'no/such/python'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("genuine", [False, True])
def test_the_peer_is_asked_over_a_pipe_and_a_stand_in_for_its_nms_is_left_out(tmp_path, data, genuine):
    """With a stand-in of the same interface: a module that answers slowly where it should."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("from . import ops\n")
    (tmp_path / "torchvision" / "ops.py").write_text("import time\n\ndef nms(): time.sleep(0.2)\n")
    operators = "nms=print" if genuine else ""
    (tmp_path / "torch.py").write_text(
        "from types import SimpleNamespace\n"
        f"ops = SimpleNamespace(torchvision=SimpleNamespace({operators}))\n"
        "def set_num_threads(count): print('chatter', count)\n"
    )
    (tmp_path / "ultralytics.py").write_text(
        "import time, types, torchvision.ops\n"
        "class YOLO:\n"
        "    def __init__(self, model, task): print('loading', model)\n"
        "    def predict(self, source, **options):\n"
        "        assert options == dict(imgsz=640, device='cpu', verbose=False, stream=True, conf=0.5), options\n"
        "        torchvision.ops.nms()\n"
        "        yield types.SimpleNamespace(speed={'postprocess': 7.0}, boxes=[1, 2], masks=None)\n"
    )
    question = json.dumps({"source": "x.jpg", "masks": "xy", "conf": 0.5}) + "\n"
    command = [sys.executable, "-P", str(FOLDER / "peer.py"), "model.onnx", "2"]
    done = subprocess.run(
        command, input=question * 2, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tmp_path)}
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2, "what the peer prints is no answer"
    for said in answers:
        assert said["count"] == 2
        assert said["total"] >= 200
        assert said["nms"] == 0 if genuine else 200 <= said["nms"] <= said["total"]
        assert said["postprocess"] == 7.0
