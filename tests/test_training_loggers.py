"""Where the figures of a training go: always into results.csv, elsewhere only where that is wanted."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import fake_run
import numpy as np
import pytest

from segkit.core.errors import MissingDependencyError, OptionError
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.loggers import choose_loggers
from segkit.core.training.loggers.csv import CsvLogger, text_of
from segkit.core.training.loggers.mlflow import MlflowLogger
from segkit.core.training.loggers.tensorboard import TensorboardLogger
from segkit.core.training.loggers.wandb import WandbLogger
from segkit.core.training.run import TrainRun

LOSSES = ["box_loss", "seg_loss", "cls_loss", "dfl_loss"]
SCORES = [f"metrics/{name}({kind})" for kind in "BM" for name in ("precision", "recall", "mAP50", "mAP50-95")]
COLUMNS = [
    *("epoch", "time", *(f"train/{name}" for name in LOSSES), *SCORES, *(f"val/{name}" for name in LOSSES)),
    *("lr/pg0", "lr/pg1", "lr/pg2"),
]


@pytest.fixture
def run(tmp_path: Path) -> TrainRun:
    return fake_run.run_in(tmp_path / "train")


@pytest.fixture(autouse=True)
def _folder(run: TrainRun) -> None:
    run.save_dir.mkdir()


def rows(folder: Path) -> list[dict[str, str]]:
    """results.csv."""
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# -- results.csv --------------------------------------------------------------------------------------------------


def test_every_epoch_is_a_row_under_the_names_that_tools_know(run: TrainRun) -> None:
    fake_run.train(Callbacks.of(CsvLogger()), run)
    found = rows(run.save_dir)
    assert list(found[0]) == COLUMNS
    assert [row["epoch"] for row in found] == ["1", "2", "3"]
    assert [row["time"] for row in found] == ["60.000", "120.000", "180.000"]
    assert [float(row["train/box_loss"]) for row in found] == pytest.approx([2, 1, 2 / 3], rel=1e-5)
    assert found[2]["metrics/mAP50-95(M)"] == "0.8"


def test_a_row_is_there_as_soon_as_its_epoch_is_over(run: TrainRun) -> None:
    counts = [
        len(rows(run.save_dir)) for event in fake_run.steps(Callbacks.of(CsvLogger()), run) if event == "fit_epoch_end"
    ]
    assert counts == [1, 2, 3]


def test_a_resumed_run_goes_on_with_the_file_and_has_no_epoch_twice(run: TrainRun) -> None:
    fake_run.train(Callbacks.of(CsvLogger()), run, until=2)
    whole = (run.save_dir / "results.csv").read_text()
    later = fake_run.run_in(run.save_dir)
    later.history, later.start_epoch = run.history[:1], 1  # the second was written, but not its checkpoint
    steps = fake_run.steps(Callbacks.of(CsvLogger()), later)
    while next(steps) != "train_start":
        pass
    assert [row["epoch"] for row in rows(run.save_dir)] == ["1"]
    assert list(steps)
    assert [row["epoch"] for row in rows(run.save_dir)] == ["1", "2", "3"]
    assert (run.save_dir / "results.csv").read_text().startswith(whole)


def test_epochs_without_validation_leave_their_cells_empty_and_columns_in_order() -> None:
    text = text_of([fake_run.record(epoch, scored=epoch % 2 == 0).row() for epoch in (1, 2, 3)])
    header, first, second, third = csv.reader(text.splitlines())
    assert header == COLUMNS
    place = header.index("metrics/mAP50(B)")
    assert (first[place], third[place]) == ("", "")
    assert float(second[place]) > 0


def test_figures_that_are_no_numbers_are_written_as_they_are() -> None:
    row = fake_run.record(1, losses={"box_loss": float("nan"), "seg_loss": float("inf")}).row()
    assert text_of([row]).splitlines()[1].split(",")[2:4] == ["nan", "inf"]


def test_small_and_large_figures_keep_six_digits() -> None:
    assert text_of([{"lr/pg0": 1.23456789e-7, "train/box_loss": 123456.789}]) == (
        "lr/pg0,train/box_loss\n1.23457e-07,123457\n"
    )


def test_a_full_disk_costs_one_notice_and_the_rows_come_later(run: TrainRun, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("segkit.core.training.loggers.csv.notice", said.append)
    write, full = Path.write_text, True

    def writing(path: Path, *args: Any, **kwargs: Any) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", writing)
    for event in fake_run.steps(Callbacks.of(CsvLogger()), run):
        full = run.epoch < 2
        assert event
    assert len(said) == 1
    assert "the disk is full" in said[0]
    assert [row["epoch"] for row in rows(run.save_dir)] == ["1", "2", "3"]


def test_a_killed_run_leaves_whole_rows(run: TrainRun) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(Path(fake_run.__file__).parent)!r})
from pathlib import Path
import fake_run
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.loggers.csv import CsvLogger
run = fake_run.run_in(Path({str(run.save_dir)!r}), epochs=100_000, batches=0)
fake_run.train(Callbacks.of(CsvLogger()), run)
"""
    child = subprocess.Popen([sys.executable, "-P", "-c", code])
    try:
        while not (run.save_dir / "results.csv").exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    found = rows(run.save_dir)
    assert (run.save_dir / "results.csv").read_text().endswith("\n")
    assert [row["epoch"] for row in found] == [str(epoch + 1) for epoch in range(len(found))]
    assert all(None not in row.values() for row in found)


# -- which loggers ------------------------------------------------------------------------------------------------


def names(loggers: str | tuple[str, ...] | None, environ: Mapping[str, str] | None = None) -> list[str]:
    args = TrainArguments(**({} if loggers is None else {"loggers": loggers}))
    return [type(each).__name__.removesuffix("Logger").lower() for each in choose_loggers(args, environ or {})]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow and Weights & Biases are there, or seem to be."""
    for name in ("mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("loggers", "environ", "chosen"),
    [
        (None, {}, ["csv", "tensorboard"]),
        (None, {"MLFLOW_TRACKING_URI": "http://here"}, ["csv", "tensorboard", "mlflow"]),
        (None, {"MLFLOW_TRACKING_URI": ""}, ["csv", "tensorboard"]),
        (None, {"MLFLOW_EXPERIMENT_NAME": "x", "WANDB_API_KEY": "x"}, ["csv", "tensorboard"]),
        (None, {"WANDB_PROJECT": "streets"}, ["csv", "tensorboard", "wandb"]),
        (None, {"WANDB_MODE": "offline"}, ["csv", "tensorboard", "wandb"]),
        (None, {"WANDB_MODE": "disabled", "WANDB_PROJECT": "streets"}, ["csv", "tensorboard"]),
        (None, {"WANDB_DISABLED": "true", "WANDB_PROJECT": "streets"}, ["csv", "tensorboard"]),
        ("", {"MLFLOW_TRACKING_URI": "http://here", "WANDB_PROJECT": "streets"}, ["csv"]),
        ((), {"MLFLOW_TRACKING_URI": "http://here"}, ["csv"]),
        ("csv", {}, ["csv"]),
        ("mlflow", {"WANDB_PROJECT": "streets"}, ["csv", "mlflow"]),
        ("WandB, tensorboard", {}, ["csv", "tensorboard", "wandb"]),
        (("wandb", "wandb"), {}, ["csv", "wandb"]),
    ],
)
def test_nothing_is_sent_anywhere_unless_it_is_asked_for(
    loggers: Any, environ: dict[str, str], chosen: list[str]
) -> None:
    assert names(loggers, environ) == chosen


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_logger_that_is_named_must_be_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=f"loggers={name} needs {name}.*Run: pip install {name}$"):
        names(name)


def test_one_that_only_the_environment_asks_for_is_missed_with_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("segkit.core.training.loggers.choice.notice", said.append)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert names(None, {"MLFLOW_TRACKING_URI": "http://here"}) == ["csv"]
    assert said == ["MLFLOW_TRACKING_URI is set, but mlflow is not installed and gets no figures: pip install mlflow"]


def test_a_name_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"did you mean 'tensorboard'.*known are tensorboard, mlflow, wandb"):
        names("tensorbord")


# -- TensorBoard --------------------------------------------------------------------------------------------------


def events(folder: Path) -> Any:
    """What TensorBoard itself reads there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def picture(path: Path, height: int = 40, width: int = 60) -> None:
    cv2.imwrite(str(path), np.full((height, width, 3), (10, 20, 200), np.uint8))


def test_tensorboard_shows_the_figures_of_every_epoch(run: TrainRun) -> None:
    fake_run.train(Callbacks.of(TensorboardLogger()), run)
    found = events(run.save_dir)
    assert set(found.Tags()["scalars"]) == set(COLUMNS) - {"epoch"}
    scalars = [(event.step, round(event.value, 4)) for event in found.Scalars("metrics/mAP50-95(M)")]
    assert scalars == [(1, 0.2667), (2, 0.5333), (3, 0.8)]
    assert [event.step for event in found.Scalars("lr/pg2")] == [1, 2, 3]


def test_tensorboard_does_not_load_tensorflow_to_write_its_files(run: TrainRun) -> None:
    """It would take seconds and hundreds of megabytes, and say things about itself."""
    code = (
        "import sys, fake_run; from pathlib import Path; from segkit.core.training.callbacks import Callbacks; "
        "from segkit.core.training.loggers.tensorboard import TensorboardLogger; "
        "fake_run.train(Callbacks.of(TensorboardLogger()), fake_run.run_in(Path(sys.argv[1]))); "
        "print('tensorflow' in sys.modules)"
    )
    place = {**os.environ, "PYTHONPATH": str(Path(fake_run.__file__).parent)}
    command = [sys.executable, "-c", code, str(run.save_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=place)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
    assert events(run.save_dir).Scalars("lr/pg2")


def test_tensorboard_shows_the_arguments_and_the_pictures(run: TrainRun) -> None:
    for name in ("results.png", "train_batch0.jpg"):
        picture(run.save_dir / name)
    picture(run.save_dir / "large.png", 1000, 4000)
    fake_run.train(Callbacks.of(TensorboardLogger()), run)
    found = events(run.save_dir)
    assert set(found.Tags()["images"]) == {"large.png", "results.png", "train_batch0.jpg"}
    (shown,) = found.Images("results.png")
    assert (shown.step, shown.height, shown.width) == (3, 40, 60)
    pixels = cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert pixels[0, 0].tolist() == [10, 20, 200]
    assert (found.Images("large.png")[0].width, found.Images("large.png")[0].height) == (1600, 400)
    text = found.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    epochs: 3\n" in text


def test_tensorboard_has_no_epoch_twice_when_a_run_is_resumed(run: TrainRun) -> None:
    fake_run.train(Callbacks.of(TensorboardLogger()), run, until=2)
    later = fake_run.run_in(run.save_dir)
    later.history, later.start_epoch = run.history[:1], 1
    fake_run.train(Callbacks.of(TensorboardLogger()), later)
    assert [event.step for event in events(run.save_dir).Scalars("train/box_loss")] == [1, 2, 3]


def test_tensorboard_has_what_was_written_before_a_failure(run: TrainRun) -> None:
    told = Callbacks.of(TensorboardLogger())
    for event in fake_run.steps(told, run):
        if event == "fit_epoch_end":
            break
    assert [event.step for event in events(run.save_dir).Scalars("train/box_loss")] == [1]
    told.call("teardown", run)


# -- those of others ----------------------------------------------------------------------------------------------


class FakeMlflow(types.ModuleType):
    """The public functions of MLflow that are called, and what they were told."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.told: list[tuple[Any, ...]] = []
        self.active: Any = None
        self.fail = False
        self.environ = dict(os.environ)

    def active_run(self) -> Any:
        return self.active

    def set_experiment(self, name: str) -> None:
        self.told.append(("experiment", name))

    def start_run(self, *, run_name: str) -> None:
        self.environ = dict(os.environ)
        self.active = types.SimpleNamespace(data=types.SimpleNamespace(params={}))
        self.told.append(("start", run_name))

    def log_params(self, params: dict[str, Any]) -> None:
        assert 0 < len(params) <= 100
        self.told.append(("params", params))

    def log_metrics(self, metrics: dict[str, float], *, step: int) -> None:
        if self.fail:
            raise ConnectionError("the server is away")
        self.told.append(("metrics", metrics, step))

    def log_artifact(self, path: str) -> None:
        self.told.append(("artifact", Path(path).name))

    def end_run(self, *, status: str) -> None:
        self.active = None
        self.told.append(("end", status))


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "x")  # so that what the logger sets is taken back
        monkeypatch.delenv(name)
    return fake


def kinds(told: list[tuple[Any, ...]]) -> list[Any]:
    return [each[0] for each in told]


def test_mlflow_gets_arguments_figures_and_pictures_but_no_weights(run: TrainRun, mlflow: FakeMlflow) -> None:
    picture(run.save_dir / "results.png")
    run.wdir.mkdir()
    run.best.touch()
    fake_run.train(Callbacks.of(CsvLogger(), MlflowLogger({})), run)
    ended = kinds(mlflow.told)
    assert ended == ["experiment", "start", "params", *["metrics"] * 3, *["artifact"] * 2, "end"]
    assert mlflow.told[0:2] == [("experiment", "segkit"), ("start", "train")]
    assert mlflow.told[2][1]["epochs"] == "3"
    _, metrics, step = mlflow.told[5]
    assert step == 3
    assert metrics["metrics/mAP50-95M"] == pytest.approx(0.8), "MLflow takes no brackets"
    assert {each[1] for each in mlflow.told if each[0] == "artifact"} == {"results.csv", "results.png"}
    assert mlflow.told[-1] == ("end", "FINISHED")


def test_mlflow_is_told_not_to_report_its_use_and_not_to_wait_for_minutes(run: TrainRun, mlflow: FakeMlflow) -> None:
    fake_run.train(Callbacks.of(MlflowLogger({})), run)
    assert mlflow.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert mlflow.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"


@pytest.mark.parametrize("variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"])
def test_mlflow_follows_its_own_variables(run: TrainRun, mlflow: FakeMlflow, variable: str) -> None:
    fake_run.train(Callbacks.of(MlflowLogger({variable: "x"})), run)
    assert "experiment" not in kinds(mlflow.told)


def test_a_run_of_mlflow_that_the_script_began_is_used_and_left_open(run: TrainRun, mlflow: FakeMlflow) -> None:
    mlflow.active = types.SimpleNamespace(data=types.SimpleNamespace(params={"epochs": "5"}))
    fake_run.train(Callbacks.of(MlflowLogger({})), run)
    assert not {"experiment", "start", "end"} & set(kinds(mlflow.told))
    assert "epochs" not in mlflow.told[0][1], "what is told once cannot be changed there"


def test_a_run_that_fails_is_one_that_failed_in_mlflow_too(run: TrainRun, mlflow: FakeMlflow) -> None:
    fake_run.train(Callbacks.of(MlflowLogger({})), run, until=1)
    assert mlflow.told[-1] == ("end", "FAILED")


def test_mlflow_is_told_all_epochs_of_a_resumed_run(run: TrainRun, mlflow: FakeMlflow) -> None:
    run.history, run.start_epoch = [fake_run.record(1), fake_run.record(2)], 2
    fake_run.train(Callbacks.of(MlflowLogger({})), run)
    assert [each[2] for each in mlflow.told if each[0] == "metrics"] == [1, 2, 3]


def test_a_server_that_goes_away_ends_the_logging_and_not_the_training(
    run: TrainRun, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("segkit.core.training.callbacks.notice", said.append)
    for _ in fake_run.steps(Callbacks.of(CsvLogger(), MlflowLogger({})), run):
        mlflow.fail = run.epoch == 1
    assert len(rows(run.save_dir)) == 3
    assert said == [
        "The MLflow logger failed and is switched off (ConnectionError: the server is away). The training goes on."
    ]
    assert mlflow.told[-1] == ("end", "FAILED")


class FakeWandb(types.ModuleType):
    """The public functions of Weights & Biases that are called, and what they were told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.told: list[tuple[Any, ...]] = []
        self.run: Any = None
        self.config = types.SimpleNamespace(
            update=lambda values, allow_val_change: self.told.append(("config", values))
        )

    def init(self, **given: Any) -> Any:
        self.told.append(("init", given, os.environ.get("WANDB_ERROR_REPORTING")))
        self.run = self
        return self

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.told.append(("log", values, step))

    def finish(self, *, exit_code: int) -> None:
        self.run = None
        self.told.append(("finish", exit_code))

    @staticmethod
    def Image(path: str) -> str:  # noqa: N802 - its name there
        return f"picture {Path(path).name}"


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "x")
    monkeypatch.delenv("WANDB_ERROR_REPORTING")
    return fake


def test_wandb_gets_arguments_figures_and_pictures(run: TrainRun, wandb: FakeWandb) -> None:
    picture(run.save_dir / "results.png")
    fake_run.train(Callbacks.of(WandbLogger({})), run)
    assert kinds(wandb.told) == ["init", "config", *["log"] * 4, "finish"]
    _, given, reporting = wandb.told[0]
    assert (given["project"], given["name"], given["dir"]) == ("segkit", "train", str(run.save_dir))
    assert given["settings"]["console"] == "off", "it would take the terminal from the table"
    assert reporting == "false"
    assert wandb.told[1][1]["epochs"] == 3
    assert [each[2] for each in wandb.told[2:5]] == [1, 2, 3]
    assert wandb.told[4][1]["metrics/mAP50-95(M)"] == pytest.approx(0.8)
    assert wandb.told[5][1] == {"results.png": "picture results.png"}
    assert wandb.told[6] == ("finish", 0)


def test_wandb_follows_its_own_variables(run: TrainRun, wandb: FakeWandb) -> None:
    fake_run.train(Callbacks.of(WandbLogger({"WANDB_PROJECT": "p", "WANDB_NAME": "n", "WANDB_DIR": "d"})), run)
    given = wandb.told[0][1]
    assert (given["project"], given["name"], given["dir"]) == ("p", "n", "d")


def test_a_run_of_wandb_that_the_script_began_is_used_and_left_open(run: TrainRun, wandb: FakeWandb) -> None:
    wandb.run = wandb
    fake_run.train(Callbacks.of(WandbLogger({})), run)
    assert not {"init", "finish"} & set(kinds(wandb.told))


def test_a_run_that_fails_is_one_that_failed_in_wandb_too(run: TrainRun, wandb: FakeWandb) -> None:
    fake_run.train(Callbacks.of(WandbLogger({})), run, until=1)
    assert wandb.told[-1] == ("finish", 1)


def test_wandb_is_told_all_epochs_of_a_resumed_run(run: TrainRun, wandb: FakeWandb) -> None:
    run.history, run.start_epoch = [fake_run.record(1), fake_run.record(2)], 2
    fake_run.train(Callbacks.of(WandbLogger({})), run)
    assert [each[2] for each in wandb.told if each[0] == "log"] == [1, 2, 3]


@pytest.mark.parametrize("module", ["mlflow", "wandb"])
def test_a_run_that_begins_again_with_a_smaller_batch_is_one_run(run: TrainRun, module: str, request: Any) -> None:
    fake = request.getfixturevalue(module)
    told = Callbacks.of({"mlflow": MlflowLogger, "wandb": WandbLogger}[module]({}))
    told.call("train_start", run)
    fake_run.train(told, run)
    assert len({"start", "init"} & set(kinds(fake.told))) == 1
    assert sum(kind in ("start", "init") for kind in kinds(fake.told)) == 1
