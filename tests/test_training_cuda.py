"""Training on a GPU, where there is one."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import OPTIONS, lay_down
from torch import Tensor

from segkit import YOLO
from segkit.core.training.run import TrainRun

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.slow,
]
ON_CARD: dict[str, Any] = OPTIONS | {"device": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny network and a tiny data set."""
    return lay_down(tmp_path_factory.mktemp("tiny"))


def _run(place: tuple[Path, Path], project: Path, stop_at: int | None = None, **changes: Any) -> dict[str, Tensor]:
    """Train; gives the average's weights at the end."""
    model, data = place
    return _trained(YOLO(str(model)), stop_at, data=str(data), project=str(project), **ON_CARD | changes)


def _trained(model: YOLO, stop_at: int | None = None, **options: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    seen: list[int] = []

    def count(run: TrainRun) -> None:
        seen.append(1)
        if len(seen) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def note(run: TrainRun) -> None:
        assert run.ema is not None
        found.update({name: each.cpu().clone() for name, each in run.ema.state_dict().items()})

    model.add_callback("on_train_batch_end", count)
    model.add_callback("on_train_end", note)
    model.train(**options)
    return found


def _losses(folder: Path) -> list[list[float]]:
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return [[float(row[name]) for name in row if name.startswith("train/")] for row in csv.DictReader(file)]


def test_losses_of_the_first_epoch_are_those_of_the_cpu(place: tuple[Path, Path], tmp_path: Path) -> None:
    for name, device in (("cpu", "cpu"), ("card", 0)):
        _run(place, tmp_path, name=name, device=device, epochs=1, amp=False)
    assert _losses(tmp_path / "card")[0] == pytest.approx(_losses(tmp_path / "cpu")[0], rel=2e-3)


@pytest.mark.parametrize("amp", [True, "fp16", "bf16", False], ids=str)
def test_precisions(amp: Any, place: tuple[Path, Path], tmp_path: Path) -> None:
    """Half leaves out the first steps, until its scale is found: later epochs are those of another training."""
    _run(place, tmp_path, name="plain", amp=False)
    weights = _run(place, tmp_path, name="mixed", amp=amp)
    assert all(each.isfinite().all() for each in weights.values())
    assert _losses(tmp_path / "mixed")[0] == pytest.approx(_losses(tmp_path / "plain")[0], rel=0.05)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSProp"])
def test_a_step_left_out_at_first_does_no_harm(optimizer: str, place: tuple[Path, Path], tmp_path: Path) -> None:
    """Pictures so large that the scale of fp16 overflows in the very first step."""
    weights = _run(place, tmp_path, optimizer=optimizer, lr0=0.001, imgsz=320, batch=11, nbs=1, amp="fp16")
    assert all(each.isfinite().all() for each in weights.values())


@pytest.mark.parametrize("amp", [True, False], ids=["mixed", "plain"])
def test_an_interrupted_run_goes_on_bit_for_bit(amp: bool, place: tuple[Path, Path], tmp_path: Path) -> None:
    full = _run(place, tmp_path, name="full", amp=amp)
    assert all(torch.equal(each, full[name]) for name, each in _run(place, tmp_path, name="twin", amp=amp).items())
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, 4, name="cut", amp=amp)
    resumed = _trained(YOLO(str(tmp_path / "cut" / "weights" / "last.pt")), resume=True)
    assert all(torch.equal(each, resumed[name]) for name, each in full.items())


def test_too_little_memory_halves_the_batch(
    place: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(0) + 2**28) / total)
    try:
        _run(place, tmp_path, imgsz=640, batch=8, epochs=1, val=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "not enough memory for batch=8: trying 4" in capsys.readouterr().err
    assert len(_losses(tmp_path / "train")) == 1


def test_a_batch_that_fits_a_share_of_the_memory(
    place: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(place, tmp_path, batch=0.02, imgsz=320, epochs=1, val=False)
    assert "of memory" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_and_other_layouts(place: tuple[Path, Path], tmp_path: Path) -> None:
    for name, changes in (("plain", {}), ("compiled", {"compile": True}), ("first", {"channels_last": False})):
        _run(place, tmp_path, name=name, amp=False, epochs=1, **changes)
        assert _losses(tmp_path / name)[0] == pytest.approx(_losses(tmp_path / "plain")[0], rel=2e-3)


def test_what_was_trained_on_a_gpu_runs_without_one(place: tuple[Path, Path], tmp_path: Path) -> None:
    _run(place, tmp_path)
    model = YOLO(str(tmp_path / "train" / "weights" / "best.pt"))
    found = model.val(data=str(place[1]), imgsz=64, plots=False, device="cpu")
    there = model.val(data=str(place[1]), imgsz=64, plots=False, device=0)
    assert found.results_dict == pytest.approx(there.results_dict, abs=2e-3)
