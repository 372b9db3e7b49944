"""Every built-in format passes the suite that every backend passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from segkit.conformance import BackendSuite

pytestmark = pytest.mark.usefixtures("translated_once")


class BuiltIn(BackendSuite):
    @pytest.fixture
    def trained(self, n_seg_pt: Path, bus: Path) -> tuple[Path, Path]:
        return n_seg_pt, bus


class TestCoreML(BuiltIn):
    format = "coreml"


class TestOnnx(BuiltIn):
    format = "onnx"


class TestPyTorch(BuiltIn):
    format = "pytorch"


class TestTorchScript(BuiltIn):
    format = "torchscript"
