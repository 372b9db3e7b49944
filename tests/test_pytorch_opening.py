"""A weights file is parsed once, however many parts of segkit ask about it; and its numbers are not kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from segkit import YOLO
from segkit.core.errors import ModelFileError
from segkit.plugins.pytorch import predictor
from segkit.plugins.pytorch.inspection import inspect


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are parsed from now on."""
    found: list[Path] = []
    real = predictor.read_checkpoint

    def counted(path: Path) -> predictor.Checkpoint:
        found.append(path)
        return real(path)

    predictor._read.cache_clear()
    monkeypatch.setattr(predictor, "read_checkpoint", counted)
    return found


def test_predicting_parses_the_file_once(reads: list[Path], n_seg_pt: Path, bus: Path) -> None:
    assert len(YOLO(n_seg_pt).predict(bus, imgsz=64, conf=0.01)) == 1
    assert reads == [n_seg_pt]


def test_a_file_that_has_changed_is_read_again(reads: list[Path], n_seg_pt: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    shutil.copyfile(n_seg_pt, path)
    before = inspect(path)
    assert inspect(path) == before
    assert len(reads) == 1
    os.utime(path, ns=(1, 1))
    inspect(path)
    assert len(reads) == 2
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="cut off"):
        inspect(path)


def test_the_numbers_of_a_file_do_not_stay_in_memory(reads: list[Path], n_seg_pt: Path) -> None:
    used = predictor.opened(n_seg_pt)
    assert used.state
    assert "state" not in vars(predictor.opened(n_seg_pt))
    assert len(reads) == 1
