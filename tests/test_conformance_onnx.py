"""ONNX passes the suite that every backend passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from segkit.conformance import BackendSuite


class TestOnnx(BackendSuite):
    format = "onnx"

    @pytest.fixture
    def trained(self, n_seg_pt: Path, bus: Path) -> tuple[Path, Path]:
        return n_seg_pt, bus
