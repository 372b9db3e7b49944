"""Every built-in format passes the suite that every backend passes: here with trained weights, and with files of other
tools. What the suite asks with its own model, `segkit conformance` asks (see `pytest_collection_modifyitems`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from segkit.conformance import BackendSuite
from segkit.core.backend.registry import Registry, default_registry

pytestmark = pytest.mark.usefixtures("translated_once")


class BuiltIn(BackendSuite):
    @pytest.fixture
    def trained(self, n_seg_pt: Path, bus: Path) -> tuple[Path, Path]:
        return n_seg_pt, bus


class TestCoreML(BuiltIn):
    format = "coreml"


class TestEdgeTpu(BuiltIn):
    format = "edgetpu"

    @pytest.fixture
    def foreign(self, data: Path) -> Path:
        return data / "foreign" / "best128_full_integer_quant_edgetpu.tflite"


class TestEdgeTpuOnCpu(BuiltIn):
    """What is compiled for the Edge TPU, computed before that: elsewhere there is nothing to run it on."""

    format = "edge_tpu_on_cpu"

    @pytest.fixture
    def registry(self) -> Registry:
        others = (entry.plugin for entry in default_registry().all() if entry.plugin.name != "edgetpu")
        known = Registry(dict.fromkeys(others))  # which would know the files of this one, too
        known.register(self.format, self.format)
        return known


class TestEngine(BuiltIn):
    format = "engine"


class TestNcnn(BuiltIn):
    format = "ncnn"


class TestOnnx(BuiltIn):
    format = "onnx"

    @pytest.fixture
    def foreign(self, data: Path) -> Path:
        return data / "foreign" / "yolov8n-seg.onnx"


class TestOpenVino(BuiltIn):
    format = "openvino"


class TestPaddle(BuiltIn):
    format = "paddle"


class TestPb(BuiltIn):
    format = "pb"


class TestPyTorch(BuiltIn):
    format = "pytorch"

    @pytest.fixture
    def foreign(self, data: Path) -> Path:
        return data / "checkpoints" / "coco8_1ep_v8.3.0.best.pt"  # with depthwise class branches


class TestSavedModel(BuiltIn):
    format = "saved_model"


class TestTfLite(BuiltIn):
    format = "tflite"

    @pytest.fixture
    def foreign(self, data: Path) -> Path:
        return data / "foreign" / "yolov8n-seg_int8.tflite"


class TestTorchScript(BuiltIn):
    format = "torchscript"
