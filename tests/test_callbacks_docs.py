"""What docs/callbacks.md says is true: its code runs, and its tables name what there is and nothing else."""

from __future__ import annotations

import dataclasses
import re
import sys
import tomllib
import types
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import fake_run
import pytest

import segkit
from segkit.core.training import table
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.events import EVENTS, GROUP
from segkit.core.training.loggers import choice
from segkit.core.training.run import TrainRun

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
FIRST = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)


def blocks(language: str) -> list[str]:
    """Fenced code blocks of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def named(title: str) -> list[str]:
    """What stands between backticks in the first column of the table below a title."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [name for cell in FIRST.findall(section) for name in re.findall(r"`([^`]+)`", cell)]


class Model:
    """Trains no network, but tells everybody what a training tells."""

    folder = Path()
    runs: list[TrainRun]

    def __init__(self, name: str) -> None:
        self.functions: dict[str, list[Any]] = {}

    def add_callback(self, event: str, function: Any) -> None:
        self.functions.setdefault(event, []).append(function)

    def train(self, **given: Any) -> None:
        run = fake_run.run_in(self.folder, **{"epochs": 3, **given})
        self.runs.append(run)
        told = Callbacks(self.functions, run.args, {}, ())
        for event in fake_run.steps(told, run):
            if event == "model_save" and run.stop:
                break
        told.call("teardown", run)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainRun]:
    """The runs of the page's scripts."""
    monkeypatch.setattr(segkit, "YOLO", Model)
    monkeypatch.setattr(Model, "folder", tmp_path)
    monkeypatch.setattr(Model, "runs", [], raising=False)
    return Model.runs


def script(word: str) -> str:
    """The one script with this word in it."""
    (found,) = (block for block in blocks("python") if word in block)
    return found


def test_the_script_reports_and_stops(runs: list[TrainRun], capsys: pytest.CaptureFixture[str]) -> None:
    exec(script("stop_when_good"), {})
    (run,) = runs
    assert run.stop
    assert run.record is not None
    assert 1 < run.record.epoch < run.epochs
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(epoch + 1) for epoch in range(run.record.epoch)]


def test_the_script_that_sends_weights_sends_the_best_ones(
    runs: list[TrainRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, ...]] = []
    mlflow = types.ModuleType("mlflow")
    functions = ("set_experiment", "start_run", "log_params", "log_metrics", "end_run")
    for name in functions:
        setattr(mlflow, name, lambda *args, **kwargs: None)
    params = types.SimpleNamespace(data=types.SimpleNamespace(params={}))
    mlflow.active_run = lambda: params  # type: ignore[attr-defined]
    mlflow.log_artifact = lambda *paths: sent.append(paths)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    exec(script("send_weights"), {})
    assert (str(runs[0].best), "weights") in sent


def test_the_plugin_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "segkit_acme.py").write_text(script("hookimpl"))
    (name, value), *_ = tomllib.loads(blocks("toml")[0])["project"]["entry-points"][GROUP].items()
    run = fake_run.run_in(tmp_path, loggers=(), plots=False)
    run.fitness = 0.5
    fake_run.train(Callbacks({}, run.args, {}, [EntryPoint(name, value, GROUP)]), run)
    assert (tmp_path / "acme.txt").read_text() == "3 epochs, fitness 0.500\n"


def test_the_events_are_those_that_there_are() -> None:
    assert named("Events") == list(EVENTS)


def test_a_run_has_what_the_page_says_and_nothing_else() -> None:
    properties = [name for name, value in vars(TrainRun).items() if isinstance(value, property)]
    fields = {field.name for field in dataclasses.fields(TrainRun)} | set(properties)
    section = PAGE.split("\n## What a run has\n")[1].split("\n## ")[0]
    told = set(named("What a run has"))
    assert told <= fields
    assert fields - told == {"wdir", "last", "best"}
    assert all(f"`{name}`" in section for name in fields)


def test_the_loggers_are_those_that_there_are() -> None:
    assert named("Loggers") == [choice.ALWAYS, *choice._KNOWN]


def test_the_extra_of_the_page_holds_the_loggers() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {re.split("[><=]", each)[0] for each in extras["loggers"]} == {
        each.package for each in choice._KNOWN.values()
    }


def test_the_variables_of_the_page_are_read_or_set_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "core" / "training" / "loggers").glob("*.py"))
    variables = set(re.findall(r"(?:MLFLOW|WANDB)_[A-Z_]+", PAGE))
    assert len(variables) > 8
    assert {name for name in variables if name not in code} == set()


def test_the_pictures_are_named_as_they_are(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, epochs=5, close_mosaic=2, loggers=())
    fake_run.train(Callbacks({}, run.args, {}, ()), run)
    written = {re.sub(r"\d+", "", path.name) for path in tmp_path.iterdir()} - {"results.csv"}
    assert written == {re.sub(r"\d+", "", name) for name in named("Pictures")}


def test_the_table_of_the_page_is_the_one_that_is_shown() -> None:
    shown = next(block for block in blocks("") if block.startswith("  Epoch"))
    columns = table.columns(100, 140)
    assert shown.splitlines()[0] == table.header(columns)
    for line in shown.splitlines()[1:-1]:
        assert len(line) == table.width_of(columns)
