"""Curves and confusion matrices become PNG files, whatever the classes are called and however many they are."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from class_names import any_names

from segkit.core import rle
from segkit.core.errors import MissingDependencyError, OutputError
from segkit.core.metrics import Evaluator, Found, SegmentationMetrics, Truth, save_plots

CURVES = [f"{kind}{curve}_curve.png" for kind in ("Box", "Mask") for curve in ("PR", "F1", "P", "R")]
MATRICES = [f"{kind}confusion_matrix{ending}.png" for kind in ("", "mask_") for ending in ("", "_normalized")]


def scored(names: list[str], *, masks: bool = True) -> SegmentationMetrics:
    """Six objects of each class, of which about half are found."""
    draw = np.random.default_rng(len(names))
    evaluator = Evaluator(names)
    for _ in range(6):
        boxes = draw.integers(0, 50, (len(names), 4)) + np.array([0, 0, 50, 50])
        classes = np.arange(len(names))
        shapes = [rle.encode(np.ones((9, 9), np.bool_), *box[:2], (120, 120)) for box in boxes] if masks else None
        moved = boxes + draw.integers(-9, 9, boxes.shape)
        evaluator.add(Found(moved, draw.random(len(names)), classes, shapes), Truth(boxes, classes, masks=shapes))
    return evaluator.result()


@any_names
def test_every_picture_is_drawn_under_the_name_users_know(names: list[str], tmp_path: Path) -> None:
    files = save_plots(scored(names), tmp_path / "made")
    assert sorted(path.name for path in files) == sorted(CURVES + MATRICES)
    assert set(files) == set((tmp_path / "made").iterdir())
    for path in files:
        picture = cv2.imread(str(path))
        assert 400 < min(picture.shape[:2]) <= max(picture.shape[:2]) < 2500
        assert (picture.reshape(-1, 3).min(axis=1) < 128).mean() > 0.002, "there is something to see"


def test_nothing_scored_is_drawn_as_nothing(tmp_path: Path) -> None:
    assert len(save_plots(Evaluator(["a", "b"]).result(), tmp_path)) == len(CURVES + MATRICES)


def test_boxes_alone_have_half_the_pictures(tmp_path: Path) -> None:
    files = save_plots(scored(["a", "b"], masks=False), tmp_path)
    assert sorted(path.name for path in files) == sorted(CURVES[:4] + MATRICES[:2])


def test_pyplot_is_left_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    save_plots(scored(["a"]), tmp_path)
    assert ("matplotlib.pyplot" in sys.modules) is loaded
    assert dict(matplotlib.rcParams) == before


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a folder"):
        save_plots(scored(["a"]), tmp_path / "file" / "plots")


def test_without_matplotlib_the_pip_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*segkit\[val\]"):
        save_plots(scored(["a"]), tmp_path)
    assert list(tmp_path.iterdir()) == []
