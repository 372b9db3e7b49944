"""Whole runs: what they leave behind, how they end, and that a run which was stopped goes on as if it had not been."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from tiny_training import OPTIONS, in_a_process, lay_down
from torch import Tensor

from segkit import YOLO
from segkit.core.data.shapes.masks import NAMES
from segkit.core.errors import InputError, ModelFileError, OptionError, OutputError, SourceError, TrainingError
from segkit.core.training.run import TrainRun


class Place(NamedTuple):
    """A network and a data set."""

    model: Path
    data: Path


class Whole(NamedTuple):
    """A run from its beginning to its end."""

    folder: Path
    weights: dict[str, Tensor]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the tiny network and the tiny data set are."""
    return Place(*lay_down(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def whole(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run that all stopped ones have to equal."""
    return _run(place, tmp_path_factory.mktemp("whole"))


def _run(place: Place, project: Path, *callbacks: tuple[str, Callable[[TrainRun], object]], **changes: Any) -> Whole:
    """Train; the weights are those of the average, in float32, as they were at the end."""
    return _trained(YOLO(str(place.model)), *callbacks, data=str(place.data), project=str(project), **OPTIONS | changes)


def _trained(model: YOLO, *callbacks: tuple[str, Callable[[TrainRun], object]], **options: Any) -> Whole:
    found: list[Whole] = []

    def note(run: TrainRun) -> None:
        assert run.ema is not None
        found.append(Whole(run.save_dir, {name: each.clone() for name, each in run.ema.state_dict().items()}))

    for event, callback in (*callbacks, ("on_train_end", note)):
        model.add_callback(event, callback)
    model.train(**options)
    return found[0]


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())


def _rows(folder: Path) -> list[dict[str, str]]:
    """The epochs of a run."""
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _at(step: int, action: Callable[[TrainRun], object]) -> tuple[str, Callable[[TrainRun], object]]:
    """A callback that does something after a number of batches."""
    seen = [0]

    def count(run: TrainRun) -> None:
        seen[0] += 1
        if seen[0] == step:
            action(run)

    return "on_train_batch_end", count


# -- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_leaves_weights_figures_and_arguments(whole: Whole, place: Place) -> None:
    assert {path.name for path in whole.folder.iterdir()} == {"args.yaml", "results.csv", "weights"}
    assert {path.name for path in (whole.folder / "weights").iterdir()} == {"best.pt", "last.pt"}
    rows = _rows(whole.folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0])[:6] == [
        "epoch",
        "time",
        "train/box_loss",
        "train/seg_loss",
        "train/cls_loss",
        "train/dfl_loss",
    ]
    assert {"metrics/mAP50(B)", "metrics/mAP50-95(M)", "val/seg_loss", "lr/pg0"} <= set(rows[0])
    settings = yaml.safe_load((whole.folder / "args.yaml").read_text(encoding="utf-8"))
    assert (settings["epochs"], settings["imgsz"], settings["model"]) == (3, [64, 64], str(place.model))
    assert "resume" not in settings


def test_weights_are_plain_and_half_and_run(whole: Whole, place: Place) -> None:
    found = torch.load(whole.folder / "weights" / "last.pt", weights_only=True)
    assert set(found) == {"segkit", "state_dict"}, "nothing of the run's state is left in weights that are to be used"
    assert {each.dtype for each in found["state_dict"].values()} == {torch.float16, torch.int64}
    assert all(
        torch.equal(each.half(), found["state_dict"][n])
        for n, each in whole.weights.items()
        if each.is_floating_point()
    )
    model = YOLO(str(whole.folder / "weights" / "best.pt"))
    assert model.names == dict(enumerate(NAMES))
    assert model.predict(np.zeros((80, 60, 3), np.uint8), imgsz=64)[0].orig_shape == (80, 60)


def test_the_same_run_twice_is_the_same_and_the_seed_changes_it(whole: Whole, place: Place, tmp_path: Path) -> None:
    assert _equal(_run(place, tmp_path).weights, whole.weights)
    assert not _equal(_run(place, tmp_path, seed=1).weights, whole.weights)


def test_workers_make_the_same_samples(whole: Whole, place: Place, tmp_path: Path) -> None:
    assert _equal(_run(place, tmp_path, workers=2, cache="ram").weights, whole.weights)


def test_the_arguments_of_a_run_make_the_same_run(whole: Whole, place: Place, tmp_path: Path) -> None:
    again = _trained(YOLO(str(place.model)), cfg=str(whole.folder / "args.yaml"), project=str(tmp_path))
    assert _equal(again.weights, whole.weights)


def test_results_are_the_scores_of_the_best_weights_and_the_model_is_these(place: Place, tmp_path: Path) -> None:
    model = YOLO(str(place.model))
    metrics = model.train(data=str(place.data), project=str(tmp_path), name="mine", **OPTIONS)
    assert metrics is not None
    assert Path(metrics.save_dir) == tmp_path / "mine"
    assert model.path == tmp_path / "mine" / "weights" / "best.pt"
    again = model.val(imgsz=64, plots=False)
    assert again.results_dict == pytest.approx(metrics.results_dict, abs=1e-6), "the data set is known"


def test_without_val_and_save(place: Place, tmp_path: Path) -> None:
    model = YOLO(str(place.model))
    assert model.train(data=str(place.data), project=str(tmp_path), **OPTIONS | {"val": False, "save": False}) is None
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"args.yaml", "results.csv"}
    rows = _rows(tmp_path / "train")
    assert len(rows) == 3
    assert "metrics/mAP50(B)" not in rows[0]


def test_weights_of_every_so_many_epochs(place: Place, tmp_path: Path) -> None:
    folder = _run(place, tmp_path, save_period=2, val=False).folder
    assert {path.name for path in (folder / "weights").iterdir()} == {"best.pt", "epoch2.pt", "last.pt"}


def test_a_trace_of_the_first_steps(place: Place, tmp_path: Path) -> None:
    folder = _run(place, tmp_path, profile=True, val=False).folder
    names = {each.get("name") for each in json.loads((folder / "profile.json").read_text())["traceEvents"]}
    assert {"forward", "loss", "backward"} <= names


# -- stopped and resumed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 5, 9])
def test_a_killed_run_goes_on_as_if_it_had_not_been(step: int, whole: Whole, place: Place, tmp_path: Path) -> None:
    """In the first epoch, at its end, in the middle of the next one, and after the last step of all."""
    options = {**OPTIONS, "data": str(place.data), "project": str(tmp_path)}
    died = in_a_process(
        f"import os, signal\nfrom segkit import YOLO\nmodel = YOLO({str(place.model)!r})\nseen = []\n"
        "def kill(run):\n    seen.append(1)\n"
        f"    if len(seen) == {step}: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"model.add_callback('on_train_batch_end', kill)\nmodel.train(**{options!r})",
        tmp_path,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = _trained(YOLO(str(tmp_path / "train" / "weights" / "last.pt")), resume=True)
    assert resumed.folder == tmp_path / "train"
    assert _equal(resumed.weights, whole.weights)
    rows = _rows(resumed.folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "SGD"}, {"optimizer": "RMSProp"}, {"optimizer": "NAdam"}, {"channels_last": False}],
    ids=str,
)
@pytest.mark.parametrize("step", [4, 6])
def test_an_interrupted_run_goes_on_from_the_very_batch(
    step: int, changes: dict[str, Any], place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gradients that were not yet a step are kept; nbs is four batches, so that there are some."""
    full = _run(place, tmp_path, name="full", nbs=16, **changes)
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, _at(step, lambda run: os.kill(os.getpid(), signal.SIGINT)), name="cut", nbs=16, **changes)
    last = tmp_path / "cut" / "weights" / "last.pt"
    assert f"segkit train model={last} resume=True" in capsys.readouterr().err
    batches: list[tuple[int, int]] = []
    seen = ("on_train_batch_start", lambda run: batches.append((run.epoch, run.batch_number)))
    resumed = _trained(YOLO(str(last)), seen, resume=True)
    assert batches[0] == (step // 3, step % 3), "nothing is done twice"
    assert _equal(resumed.weights, full.weights)
    one, other = ([row | {"time": ""} for row in _rows(folder)] for folder in (full.folder, resumed.folder))
    assert one == other, "means of an epoch are those of all its batches"


@pytest.mark.parametrize("event", ["on_fit_epoch_end", "on_model_save", "on_train_epoch_end"])
def test_an_interrupt_between_epochs(event: str, whole: Whole, place: Place, tmp_path: Path) -> None:
    def interrupt(run: TrainRun) -> None:
        if run.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, (event, interrupt))
    resumed = _trained(YOLO(str(tmp_path / "train" / "weights" / "last.pt")), resume=True)
    assert _equal(resumed.weights, whole.weights)
    rows = _rows(resumed.folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


@pytest.mark.parametrize("step", [4, 6])
def test_a_second_interrupt_within_a_step_saves_nothing_half_done(
    step: int, whole: Whole, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the end of the step; the checkpoint before stays, and the run goes on from there."""
    from segkit.core.training.averaging import Average

    update, seen = Average.update, [0]

    def twice(self: Average, network: Any) -> None:
        update(self, network)
        seen[0] += 1
        if seen[0] == step:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Average, "update", twice)
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, nbs=4)
    monkeypatch.undo()
    resumed = _trained(YOLO(str(tmp_path / "train" / "weights" / "last.pt")), resume=True)
    assert _equal(resumed.weights, _run(place, tmp_path, name="full", nbs=4).weights)


def test_a_run_killed_while_it_saves_keeps_its_best_weights(whole: Whole, place: Place, tmp_path: Path) -> None:
    options = {**OPTIONS, "data": str(place.data), "project": str(tmp_path)}
    died = in_a_process(
        "import os, signal\nfrom segkit import YOLO\nfrom segkit.core.training import saving\n"
        "write = saving.save_weights\n"
        "def kill(path, *rest, **more):\n    write(path, *rest, **more)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"saving.save_weights = kill\nYOLO({str(place.model)!r}).train(**{options!r})",
        tmp_path,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = _trained(YOLO(str(tmp_path / "train" / "weights" / "last.pt")), resume=True)
    assert _equal(resumed.weights, whole.weights)
    best, expected = (
        torch.load(run.folder / "weights" / "best.pt", weights_only=True)["state_dict"] for run in (resumed, whole)
    )
    assert _equal(best, expected)
    assert not list((resumed.folder / "weights").glob(".*")), "what the killed one left is gone"


def test_a_run_that_was_to_end_ends_when_it_is_resumed(place: Place, tmp_path: Path) -> None:
    options = {**OPTIONS, "data": str(place.data), "project": str(tmp_path), "epochs": 9, "patience": 1}
    options |= {"lr0": 1e-9, "optimizer": "SGD", "warmup_epochs": 0}
    died = in_a_process(
        "import os, signal\nfrom segkit import YOLO\nfrom segkit.core.training import trainer\n"
        "trainer.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"YOLO({str(place.model)!r}).train(**{options!r})",
        tmp_path,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    last = tmp_path / "train" / "weights" / "last.pt"
    (tmp_path / "copy" / "weights").mkdir(parents=True)
    (tmp_path / "copy" / "weights" / "last.pt").write_bytes(last.read_bytes())
    assert len(_rows(_trained(YOLO(str(last)), resume=True).folder)) == 2
    again = _trained(YOLO(str(tmp_path / "copy" / "weights" / "last.pt")), resume=True, patience=3)
    assert len(_rows(again.folder)) == 4, "unless the limit is another one now"


def test_a_finished_run_cannot_be_resumed(whole: Whole) -> None:
    with pytest.raises(ModelFileError, match="its training is finished"):
        YOLO(str(whole.folder / "weights" / "last.pt")).train(resume=True)


def test_a_foreign_run_cannot_be_resumed(n_seg_pt: Path) -> None:
    with pytest.raises(ModelFileError, match="not from a training of segkit"):
        YOLO(str(n_seg_pt)).train(resume=True)


def test_a_run_is_resumed_only_as_what_it_was(tmp_path: Path) -> None:
    place = Place(*lay_down(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, _at(4, lambda run: os.kill(os.getpid(), signal.SIGINT)))
    last = tmp_path / "train" / "weights" / "last.pt"
    with pytest.raises(OptionError, match=r"Option lr0 belongs to the run that is resumed, where it is 0\.01"):
        YOLO(str(last)).train(resume=True, lr0=0.1)
    assert _refusal(last, data=os.path.relpath(place.data)) is None, "the same by another path"
    label = next((place.data.parent / "labels" / "val").glob("*.txt"))
    before = label.read_text(encoding="utf-8")
    label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n", encoding="utf-8")
    with pytest.raises(InputError, match="or labels to validate with are other ones"):
        YOLO(str(last)).train(resume=True)
    label.write_text(before, encoding="utf-8")
    label = next((place.data.parent / "labels" / "train").glob("*.txt"))
    label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n", encoding="utf-8")
    with pytest.raises(InputError, match="or labels to learn from are other ones"):
        YOLO(str(last)).train(resume=True)
    assert last.exists()


def _refusal(last: Path, **options: Any) -> OptionError | None:
    """Of options to go on with; the run itself is not begun."""
    from segkit.core.training.starting import asked

    try:
        asked(last, {"resume": True, **options})
    except OptionError as error:
        return error
    return None


def test_a_run_is_resumed_by_its_folder_too(place: Place, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, _at(4, lambda run: os.kill(os.getpid(), signal.SIGINT)), name="mine")
    resumed = _trained(YOLO(str(place.model)), resume=str(tmp_path / "mine"))
    assert len(_rows(resumed.folder)) == 3


def test_the_command_to_go_on_can_be_pasted(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, _at(2, lambda run: os.kill(os.getpid(), signal.SIGHUP)), name="it's mine")
    said = capsys.readouterr().err.splitlines()[-1]
    words = shlex.split(said.partition("goes on with: ")[2])
    assert words == ["segkit", "train", "model=" + str(tmp_path / "it's mine" / "weights" / "last.pt"), "resume=True"]


# -- how runs end ---------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_run_with_its_batch(place: Place, tmp_path: Path) -> None:
    def spoil(run: TrainRun) -> None:
        assert run.model is not None
        if (run.epoch, run.batch_number) == (1, 1):
            next(run.model.parameters()).data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"not a number any more, in epoch 2, batch 2 of 3") as caught:
        _run(place, tmp_path, ("on_train_batch_start", spoil))
    saved = tmp_path / "train" / "failed_batch.npz"
    assert str(saved) in str(caught.value)
    with np.load(saved) as batch:
        assert batch["images"].shape[1:] == (3, 64, 64)
        assert all(name.endswith(".png") for name in batch["paths"].tolist())
        assert Path(batch["paths"][0]).name in str(caught.value)
    state = torch.load(tmp_path / "train" / "weights" / "last.pt", weights_only=True)["training"]
    assert all(each.isfinite().all() for each in state["network"].values()), "the checkpoint is of before"


def test_a_gradient_that_is_no_number_ends_the_run_before_the_step(place: Place, tmp_path: Path) -> None:
    def spoil(run: TrainRun) -> None:
        assert run.model is not None
        if (run.epoch, run.batch_number) == (1, 1):
            weight = next(run.model.parameters())
            weight.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(TrainingError, match=r"the gradient of the loss is not a number any more, in epoch 2, batch"):
        _run(place, tmp_path, ("on_train_batch_start", spoil), val=False)
    state = torch.load(tmp_path / "train" / "weights" / "last.pt", weights_only=True)["training"]
    assert all(each.isfinite().all() for each in state["network"].values())


def test_a_network_that_cannot_be_validated_says_when_and_what_to_do(place: Place, tmp_path: Path) -> None:
    def spoil(run: TrainRun) -> None:
        assert run.ema is not None
        if run.epoch == 1:
            next(run.ema.parameters()).data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"cannot be validated after epoch 2.*not finite numbers.*lower lr0"):
        _run(place, tmp_path, ("on_train_epoch_end", spoil))


def test_the_best_weights_of_another_run_in_the_folder_are_not_these(place: Place, tmp_path: Path) -> None:
    _run(place, tmp_path)
    folder = tmp_path / "train" / "weights"
    before = (folder / "best.pt").read_bytes()
    _run(place, tmp_path, exist_ok=True, val=False, seed=5)
    assert (folder / "best.pt").read_bytes() != before
    best, last = (torch.load(folder / f"{name}.pt", weights_only=True)["state_dict"] for name in ("best", "last"))
    assert _equal(best, last)


def test_a_full_disk_leaves_the_checkpoint_before(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(run: TrainRun) -> None:
        if run.epoch == 1:
            kept.append((tmp_path / "train" / "weights" / "last.pt").read_bytes())
            monkeypatch.setattr(Path, "write_bytes", _no_space)

    def _no_space(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    kept: list[bytes] = []
    with pytest.raises(OutputError, match=r"last\.pt.*the disk is full"):
        _run(place, tmp_path, ("on_train_epoch_end", fill))
    weights = tmp_path / "train" / "weights"
    assert {path.name for path in weights.iterdir()} <= {"last.pt", "best.pt"}, "no half-written file"
    assert (weights / "last.pt").read_bytes() == kept[0]
    monkeypatch.undo()
    assert _trained(YOLO(str(weights / "last.pt")), resume=True).folder == tmp_path / "train"


def test_too_little_memory_halves_the_batch(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from segkit.core.training.stepper import Stepper

    learn = Stepper.learn

    def short(self: Stepper, batch: Any, *rest: Any) -> Tensor:
        if len(batch.images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return learn(self, batch, *rest)

    monkeypatch.setattr(Stepper, "learn", short)
    folder = _run(place, tmp_path, batch=8).folder
    said = capsys.readouterr().err
    assert "not enough memory for batch=8: trying 4" in said
    assert "not enough memory for batch=4: trying 2" in said
    assert len(_rows(folder)) == 3


def test_a_run_with_a_halved_batch_is_resumed_with_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segkit.core.training.stepper import Stepper

    learn = Stepper.learn

    def short(self: Stepper, batch: Any, *rest: Any) -> Tensor:
        if len(batch.images) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return learn(self, batch, *rest)

    monkeypatch.setattr(Stepper, "learn", short)
    full = _run(place, tmp_path, name="full", batch=8)
    with pytest.raises(KeyboardInterrupt):
        _run(place, tmp_path, _at(4, lambda run: os.kill(os.getpid(), signal.SIGINT)), name="cut", batch=8)
    resumed = _trained(YOLO(str(tmp_path / "cut" / "weights" / "last.pt")), resume=True)
    assert _equal(resumed.weights, full.weights)


def test_too_little_memory_later_on_is_told_with_advice(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segkit.core.training.stepper import Stepper

    learn = Stepper.learn

    def short(self: Stepper, batch: Any, iteration: int, *rest: Any) -> Tensor:
        if iteration == 4:
            raise MemoryError("no more")
        return learn(self, batch, iteration, *rest)

    monkeypatch.setattr(Stepper, "learn", short)
    with pytest.raises(TrainingError, match=r"not enough memory.*Give a smaller batch"):
        _run(place, tmp_path)


def test_patience_ends_a_run_that_gets_no_better(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _run(place, tmp_path, epochs=12, patience=2, lr0=1e-9, optimizer="SGD", warmup_epochs=0).folder
    rows = _rows(folder)
    assert len(rows) == 3
    assert "no better result for 2 epochs: stopping (patience=2)" in capsys.readouterr().err


def test_time_ends_a_run(place: Place, tmp_path: Path) -> None:
    folder = _run(place, tmp_path, epochs=1000, time=2 / 3600, val=False).folder
    assert 0 < len(_rows(folder)) < 1000
    assert (folder / "weights" / "best.pt").exists()


def test_a_callback_ends_a_run_as_finished(place: Place, tmp_path: Path) -> None:
    def stop(run: TrainRun) -> None:
        run.stop = True

    folder = _run(place, tmp_path, _at(4, stop)).folder
    assert len(_rows(folder)) == 2
    assert "training" not in torch.load(folder / "weights" / "last.pt", weights_only=True)


def test_what_a_callback_raises_ends_the_run_and_is_not_hidden(place: Place, tmp_path: Path) -> None:
    def fail(run: TrainRun) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        _run(place, tmp_path, _at(2, fail))


# -- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"single_cls": True},
        {"classes": [1, 3]},
        {"rect": True, "mosaic": 0.0},
        {"multi_scale": True},
        {"cos_lr": True},
        {"fraction": 0.5},
        {"amp": "bf16"},
        {"overlap_mask": False},
        {"mask_ratio": 1},
        {"imgsz": (64, 96)},
        {"freeze": 2},
        {"freeze": ["0", "1"]},
        {"deterministic": False},
        {"pretrained": False},
        {"mosaic": 0.0, "mixup": 1.0},
        {"cutmix": 1.0},
        {"copy_paste": 1.0},
        {"degrees": 20, "shear": 5, "perspective": 0.0005, "flipud": 0.5, "bgr": 0.5},
        {"cache": "disk"},
        {"batch": 99},
        {"optimizer": "adam", "lr0": 0.001},
        {"optimizer": "RAdam", "lr0": 0.001},
    ],
    ids=str,
)
def test_options(changes: dict[str, Any], place: Place, tmp_path: Path) -> None:
    result = _run(place, tmp_path, epochs=2, **changes)
    rows = _rows(result.folder)
    assert len(rows) == 2
    assert all(np.isfinite([float(row[name]) for name in row if name.startswith("train/")]).all() for row in rows)
    found = YOLO(str(result.folder / "weights" / "best.pt"))
    classes = {"single_cls": 1, "classes": 5}
    assert len(found.names) == next((classes[name] for name in changes if name in classes), 5)


def test_frozen_layers_stay_as_they_are(whole: Whole, place: Place, tmp_path: Path) -> None:
    source = YOLO(str(whole.folder / "weights" / "best.pt"))
    frozen = _trained(source, data=str(place.data), project=str(tmp_path), freeze=2, **OPTIONS)
    before = YOLO(str(whole.folder / "weights" / "best.pt")).network.state_dict()
    same = {name for name, each in frozen.weights.items() if torch.equal(each.float(), before[name].float())}
    assert {name for name in before if name.startswith(("model.0.", "model.1."))} <= same
    assert "model.2.conv.weight" not in same


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_a_compiled_network_learns_the_same(place: Place, tmp_path: Path) -> None:
    one, other = (_run(place, tmp_path, epochs=1, val=False, compile=on) for on in (False, True))
    assert all(torch.allclose(each, other.weights[name], atol=1e-4) for name, each in one.weights.items())


# -- bad input ------------------------------------------------------------------------------------------------------


def test_an_unwritable_project(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        _run(place, tmp_path / "file" / "runs")


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    place = Place(*lay_down(tmp_path))
    for path in (place.data.parent / "labels" / "train").glob("*.txt"):
        path.write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match="nothing to learn: no object is labelled in its split 'train'"):
        _run(place, tmp_path)
    assert not (tmp_path / "train").exists(), "no empty run is left"


def test_nothing_to_validate_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(*lay_down(tmp_path))
    for path in (place.data.parent / "labels" / "val").glob("*.txt"):
        path.write_text("", encoding="utf-8")
    _run(place, tmp_path)
    assert "no object is labelled in the split 'val': the run is not validated" in capsys.readouterr().err


def test_no_data_set(place: Place) -> None:
    with pytest.raises(OptionError, match="train needs a labelled data set: give data"):
        YOLO(str(place.model)).train(epochs=1)


def test_a_batch_larger_than_the_set(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(place, tmp_path, batch=64, epochs=1)
    assert "batch=64 is more than there are pictures: an epoch is one batch of 11" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"freeze": 99}, "freeze"),
        ({"optimizer": "Adamm"}, "did you mean Adam"),
        ({"epoch": 5}, "epochs"),
        ({"batch": 2.5}, "whole number"),
        ({"amp": "fp16"}, "on a CPU give bf16"),
        ({"imgsz": 0}, "imgsz"),
        ({"freeze": -1}, "freeze"),
        ({"device": "cuda:7"}, "cuda:7"),
    ],
    ids=str,
)
def test_one_line_says_what_is_wrong(changes: dict[str, Any], words: str, place: Place, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _run(place, tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "train").exists()
