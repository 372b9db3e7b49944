"""What starting segkit costs: no command loads a library that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIMES = {
    *("coremltools", "ncnn", "nncf", "onnx", "onnxruntime", "onnxscript", "onnxslim", "openvino", "paddle", "pnnx"),
    *("ai_edge_litert", "keras", "safetensors", "tensorflow", "tensorrt", "tensorrt_rtx", "torch"),
}
TABLES = {"IPython", "matplotlib", "pandas", "polars", "scipy", "supervision"}
PICTURES = {"PIL", "cv2", "mss", "numpy"}

PROBE = """
import json, pathlib, sys
report, sys.argv[1:] = pathlib.Path(sys.argv[1]), sys.argv[2:]
if sys.argv[1:]:
    from segkit.cli import main
    assert main() == 0
else:
    import segkit
report.write_text(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Top-level packages that a fresh process has loaded after `import segkit`, or after `segkit ARGUMENTS`."""
    report = folder / "modules.json"
    command = [sys.executable, "-P", "-c", PROBE, str(report), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(report.read_text()))


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["import segkit", "segkit --help"])
def test_starting_loads_neither_a_runtime_nor_a_picture_library(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *arguments) & (RUNTIMES | TABLES | PICTURES) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        *[("formats",), ("formats", "onnx"), ("version",), ("predict", "--help"), ("train", "--help")],
        *[("tune", "--help"), ("web", "--help"), ("export", "--format", "onnx", "--help"), ("conformance", "--help")],
    ],
    ids=" ".join,
)
def test_asking_what_there_is_loads_no_runtime(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *arguments) & (RUNTIMES | TABLES) == set()


def test_running_an_onnx_file_loads_its_runtime_and_no_torch(tmp_path: Path, data: Path, bus: Path) -> None:
    model = data / "foreign" / "yolov8n-seg.onnx"
    modules = loaded(tmp_path, "predict", f"model={model}", f"source={bus}", f"project={tmp_path}")
    assert "onnxruntime" in modules
    assert modules & (TABLES | {"onnx", "torch"}) == set()


def test_a_wrong_option_is_refused_before_anything_heavy_is_loaded(tmp_path: Path, n_seg_pt: Path) -> None:
    code = f"""
import sys
from segkit.cli import main
print(main(["export", {str(n_seg_pt)!r}, "--format", "onnx", "--opset", "nine"]), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "opset" in done.stderr
    assert done.stdout.split() == ["2", "False"], done.stdout + done.stderr
