"""The published network trains: as users type it, on real pictures, and it learns."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from segkit import YOLO
from segkit.core.data.shapes.files import make_shapes
from segkit.core.training.run import TrainRun

pytestmark = pytest.mark.slow

SMALL = ("epochs=1", "imgsz=64", "batch=8", "fraction=0.1", "workers=0", "plots=False", "device=cpu")
STILL: dict[str, Any] = {
    **dict.fromkeys(("mosaic", "hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr"), 0.0),
    "imgsz": 160, "workers": 0, "plots": False, "device": "cpu", "verbose": False, "optimizer": "AdamW", "lr0": 0.002,
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, data: Path, n_seg_pt: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the weights, where the data set is known by its name."""
    (tmp_path / "yolov8n-seg.pt").symlink_to(n_seg_pt)
    monkeypatch.setenv("SEGKIT_DATASETS", str(data / "datasets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "given",
    [
        ["model=yolov8n-seg.yaml"],
        ["model=yolov8n-seg.pt"],
        ["model=yolov8n-seg.yaml", "pretrained=yolov8n-seg.pt"],
    ],
    ids=["from scratch", "from a checkpoint", "an architecture and weights"],
)
@pytest.mark.parametrize("task", [["segment", "train"], ["train"]], ids=" ".join)
def test_the_commands_that_users_know(given: list[str], task: list[str], here: Path) -> None:
    command = [sys.executable, "-m", "segkit.cli", *task, "data=coco128-seg.yaml", *given, *SMALL]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    folder = here / "runs" / "segment" / "train"
    assert {"best.pt", "last.pt"} == {path.name for path in (folder / "weights").iterdir()}
    assert "Best weights: runs/segment/train/weights/best.pt" in done.stdout


def test_the_python_that_users_know(here: Path) -> None:
    model = YOLO("yolov8n-seg.pt")
    results = model.train(
        data="coco128-seg.yaml", epochs=1, imgsz=64, batch=8, fraction=0.1, workers=0, plots=False, device="cpu"
    )
    assert results.save_dir == Path("runs/segment/train")
    assert 0 <= results.seg.map <= results.seg.map50 <= 1
    assert YOLO(results.save_dir / "weights" / "best.pt").names[0] == "person"


def test_four_pictures_are_learnt_by_heart(n_seg_pt: Path, tmp_path: Path) -> None:
    """Five classes that the weights do not know."""
    data = make_shapes(tmp_path / "shapes", count=4, val=1, imgsz=160)
    described = yaml.safe_load(data.read_text(encoding="utf-8"))
    data.write_text(yaml.safe_dump(described | {"val": described["train"]}), encoding="utf-8")
    model = YOLO(n_seg_pt)
    assert model.train(
        data=str(data), project=str(tmp_path), epochs=80, batch=4, nbs=4, warmup_epochs=5, val=False, **STILL
    ) is None  # fmt: skip
    assert model.val(data=str(data), imgsz=160, plots=False).seg.map50 > 0.95


def test_scores_rise_on_shapes(n_seg_pt: Path, tmp_path: Path) -> None:
    data = make_shapes(tmp_path / "shapes", count=96, val=32, imgsz=160)
    scores: list[float] = []

    def note(run: TrainRun) -> None:
        scores.append(run.metrics["metrics/mAP50(M)"])

    model = YOLO(n_seg_pt)
    model.add_callback("on_fit_epoch_end", note)
    options = STILL | {"fliplr": 0.5, "scale": 0.3, "translate": 0.1}
    model.train(data=str(data), project=str(tmp_path), epochs=4, batch=8, nbs=8, warmup_epochs=1, **options)
    assert scores[-1] > max(0.4, scores[0] + 0.15)
    with (tmp_path / "train" / "results.csv").open(encoding="utf-8") as file:
        losses = [float(row["train/seg_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
