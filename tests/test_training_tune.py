"""A search: what it tries and leaves, that it goes on after whatever ended it, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console
from terminal import Shown
from tiny_training import OPTIONS, in_a_process, lay_down

from segkit import YOLO
from segkit.cli import main
from segkit.core.errors import InputError, MissingDependencyError, OptionError, OutputError, SourceError, TrainingError
from segkit.core.training.request import Request, Trained
from segkit.core.training.run import TrainRun
from segkit.core.training.screen import Screen
from segkit.core.training.starting import asked
from segkit.core.training.tuning import searching
from segkit.core.training.tuning.arguments import TuneArguments
from segkit.core.training.tuning.picture import correlation, draw_tuning
from segkit.core.training.tuning.plan import plan_of
from segkit.core.training.tuning.row import Row
from segkit.core.training.tuning.searching import Tuned
from segkit.core.training.tuning.space import SPACE, Range
from segkit.core.training.tuning.study import open_search
from segkit.core.training.tuning.telling import Teller

SEARCH = ["lr0", "degrees", "optimizer"]
SMALL: dict[str, Any] = {**OPTIONS, "epochs": 2, "search": SEARCH}


class Place(NamedTuple):
    """A network and a data set."""

    model: Path
    data: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the tiny network and the tiny data set are."""
    return Place(*lay_down(tmp_path_factory.mktemp("tiny")))


class Quick:
    """Takes the place of training: scores by the learning rate, at once. `fails` are trials that bring no score."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        self.tried: list[dict[str, Any]] = []
        self.fails = fails

    def __call__(self, request: Request, callbacks: Mapping[str, Sequence[Callable[[Any], object]]]) -> Trained:
        args = request.args
        self.tried.append({name: getattr(args, name) for name in SEARCH})
        assert args.name is not None
        assert args.project is not None
        folder = Path(args.project, args.name)
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        (folder / "weights" / "best.pt").write_bytes(b"")
        if int(args.name.removeprefix("trial")) in self.fails:
            raise TrainingError("the loss is not a number any more", "Try a lower lr0.")
        score = 1 / (1 + abs(args.lr0 - 0.004))
        run = SimpleNamespace(args=args, epochs=args.epochs, stop=False, fitness=None, batches=1, batch_number=0)
        for run.epoch in range(args.epochs):
            run.fitness = score * (run.epoch + 1) / args.epochs
            for event in ("on_train_batch_end", "on_fit_epoch_end"):
                for function in callbacks.get(event, ()):
                    function(run)
            if run.stop:
                break
        results: Any = SimpleNamespace(fitness=run.fitness, results_dict={"metrics/mAP50-95(B)": score})
        return Trained(results, folder, args.data)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Quick:
    """No network is trained, and nobody waits for the disk."""
    stub, connect = Quick(), sqlite3.connect

    def hasty(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    monkeypatch.setattr(searching, "train", stub)
    monkeypatch.setattr(sqlite3, "connect", hasty)
    return stub


def _tune(place: Place, project: Path, **changes: Any) -> Tuned:
    options = {**SMALL, "iterations": 3, "project": str(project), **changes}
    return YOLO(str(place.model)).tune(data=str(place.data), **options)


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "tune_results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- what it tries and leaves ---------------------------------------------------------------------------------------


def test_the_first_trial_is_what_the_user_gave(quick: Quick, place: Place, tmp_path: Path) -> None:
    _tune(place, tmp_path, iterations=2, optimizer="SGD", lr0=0.003, degrees=60)
    assert quick.tried[0] == {"lr0": 0.003, "degrees": 60, "optimizer": "SGD"}, "also beyond the usual range"
    assert quick.tried[1] != quick.tried[0]


def test_an_automatic_optimizer_is_what_training_would_take(quick: Quick, place: Place, tmp_path: Path) -> None:
    """Which is then searched from there: "auto" would not follow a rate that is tried."""
    found = _tune(place, tmp_path, iterations=2, search=["lr0"])
    assert [each["optimizer"] for each in quick.tried] == ["AdamW", "AdamW"]
    assert quick.tried[0]["lr0"] == pytest.approx(0.002 * 5 / 9, abs=1e-6)
    best = yaml.safe_load((found.folder / "best_hyperparameters.yaml").read_text(encoding="utf-8"))
    assert (best["optimizer"], best["momentum"], best["warmup_bias_lr"]) == ("AdamW", 0.9, 0.0)


def test_what_is_found_can_be_trained_with(quick: Quick, place: Place, tmp_path: Path) -> None:
    found = _tune(place, tmp_path, iterations=6)
    rows = _table(found.folder)
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    best = max(rows, key=lambda row: float(row["fitness"]))
    assert (found.trial, found.trials) == (int(best["trial"]), 6)
    assert found.fitness == pytest.approx(float(best["fitness"]), abs=1e-5)
    assert found.first == pytest.approx(float(rows[0]["fitness"]), abs=1e-5)
    request = asked(Path("any.pt"), {"cfg": str(found.folder / "best_hyperparameters.yaml"), "epochs": 50})
    assert {name: getattr(request.args, name) for name in SEARCH} == found.best
    assert (request.args.epochs, request.args.nbs, request.args.data) == (50, 8, str(place.data))
    kept = sorted(path.parent.name for path in found.folder.glob("trial*/weights"))
    assert kept == [f"trial{found.trial}"], "the weights of the others are gone"


def test_the_same_search_twice_is_the_same_and_the_seed_changes_it(quick: Quick, place: Place, tmp_path: Path) -> None:
    tables = [
        _table(_tune(place, tmp_path, name=name, iterations=12, seed=seed).folder)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert tables[0] == tables[1]
    assert tables[0][0] == tables[2][0], "the first trial is the user's"
    assert tables[0][1]["lr0"] != tables[2][1]["lr0"]
    assert len({row["lr0"] for row in tables[0]}) == 12


def test_a_search_goes_on_as_if_it_had_not_been_interrupted(quick: Quick, place: Place, tmp_path: Path) -> None:
    whole = _table(_tune(place, tmp_path, name="whole", iterations=12).folder)
    for count in (2, 5, 12):
        found = _tune(place, tmp_path, name="parts", iterations=count)
        assert found.trials == count
    assert _table(found.folder) == whole
    assert len(quick.tried) == 24, "nothing is tried twice"
    assert _tune(place, tmp_path, name="parts", iterations=10).trials == 12, "there are enough"
    assert len(quick.tried) == 24


def test_by_default_everything_is_searched_but_an_optimizer_that_was_chosen(
    quick: Quick, place: Place, tmp_path: Path
) -> None:
    found = _tune(place, tmp_path, name="auto", iterations=2, search=None)
    assert list(found.best) == list(SPACE)
    found = _tune(place, tmp_path, name="chosen", iterations=2, search=None, optimizer="Adam")
    assert list(found.best) == [name for name in SPACE if name != "optimizer"]
    found = _tune(place, tmp_path, name="named", iterations=2, search=["optimizer"], optimizer="Adam")
    assert found.given == {"optimizer": "Adam"}


def test_a_space_of_ones_own(quick: Quick, place: Place, tmp_path: Path) -> None:
    space = {"lr0": (1e-4, 1e-3), "optimizer": ["SGD", "Adam"], "close_mosaic": Range(0, 2), "nbs": Range(8, 64, True)}
    found = _tune(place, tmp_path, iterations=8, search=None, space=space, optimizer="SGD")
    rows = _table(found.folder)
    assert list(found.best) == list(space)
    assert rows[0]["lr0"] == "0.001", "brought into the range that the user gave"
    assert all(1e-4 <= float(row["lr0"]) <= 1e-3 and 8 <= int(row["nbs"]) <= 64 for row in rows)
    assert {row["optimizer"] for row in rows} == {"SGD", "Adam"}
    assert {row["close_mosaic"] for row in rows} <= {"0", "1", "2"}


def test_trials_that_fall_behind_end_early(quick: Quick, place: Place, tmp_path: Path) -> None:
    rows = _table(_tune(place, tmp_path, iterations=12, epochs=8, search=["lr0"]).folder)
    assert {row["state"] for row in rows} == {"complete", "pruned"}
    assert all(row["state"] == "complete" for row in rows[:5])
    rows = _table(_tune(place, tmp_path, name="all", iterations=12, epochs=8, search=["lr0"], prune=False).folder)
    assert {row["state"] for row in rows} == {"complete"}


def test_a_trial_that_fails_is_marked_and_the_search_goes_on(
    quick: Quick, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick.fails = (1, 3)
    found = _tune(place, tmp_path, iterations=4)
    assert [row["state"] for row in _table(found.folder)] == ["failed", "complete", "failed", "complete"]
    assert found.first is None
    assert "trial 3/4 failed: the loss is not a number any more" in capsys.readouterr().err
    assert (found.folder / "trial3").is_dir()


def test_where_all_fail_it_is_not_the_arguments(quick: Quick, place: Place, tmp_path: Path) -> None:
    quick.fails = range(1, 99)
    with pytest.raises(TrainingError, match=r"the first 3 trials all failed.*not a number"):
        _tune(place, tmp_path, iterations=30)
    assert len(quick.tried) == 3


def test_functions_of_the_user_are_told_of_every_trial(quick: Quick, place: Place, tmp_path: Path) -> None:
    model, told = YOLO(str(place.model)), []
    model.add_callback("on_fit_epoch_end", lambda run: told.append(run.args.name))
    options = SMALL | {"iterations": 2, "project": str(tmp_path)}
    model.tune(str(place.data), **options)
    assert told == ["trial1", "trial1", "trial2", "trial2"]
    assert model.path == place.model, "the model stays as it is"


# -- real trainings that are ended ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(place: Place, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The table of a search that nothing ended."""
    return _table(_tune(place, tmp_path_factory.mktemp("whole"), iterations=2).folder)


def test_a_search_that_is_killed_goes_on_in_the_middle_of_a_trial(
    whole: list[dict[str, str]], place: Place, tmp_path: Path
) -> None:
    options = {**SMALL, "data": str(place.data), "iterations": 2, "project": str(tmp_path)}
    died = in_a_process(
        f"import os, signal\nfrom segkit import YOLO\nmodel = YOLO({str(place.model)!r})\n"
        "def kill(run):\n"
        "    if run.args.name == 'trial2' and (run.epoch, run.batch_number) == (1, 1):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"model.add_callback('on_train_batch_end', kill)\nmodel.tune(**{options!r})",
        tmp_path,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(_table(tmp_path / "tune")) == 1
    model, seen = YOLO(str(place.model)), []
    model.add_callback("on_train_epoch_start", lambda run: seen.append((run.args.name, run.epoch)))
    model.tune(**options)
    assert seen == [("trial2", 1)], "from its checkpoint"
    assert _table(tmp_path / "tune") == whole


def test_an_interrupted_search_goes_on_and_so_does_one_whose_trial_had_just_ended(
    whole: list[dict[str, str]], place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for event, epoch in (("on_train_batch_end", 1), ("on_teardown", 1)):
        model = YOLO(str(place.model))

        def interrupt(run: TrainRun, epoch: int = epoch) -> None:
            if run.args.name == "trial1" and run.epoch == epoch:
                os.kill(os.getpid(), signal.SIGINT)

        model.add_callback(event, interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.tune(str(place.data), **{**SMALL, "iterations": 2, "project": str(tmp_path)})
        assert "the same command goes on with this search" in capsys.readouterr().err
    assert _table(_tune(place, tmp_path, iterations=2).folder) == whole


def test_a_loss_that_is_no_number_fails_a_trial_and_not_the_search(place: Place, tmp_path: Path) -> None:
    def spoil(run: TrainRun) -> None:
        assert run.model is not None
        if run.args.name == "trial1":
            next(run.model.parameters()).data.fill_(float("nan"))

    model = YOLO(str(place.model))
    model.add_callback("on_train_batch_start", spoil)
    found = model.tune(str(place.data), **{**SMALL, "epochs": 1, "iterations": 2, "project": str(tmp_path)})
    assert [row["state"] for row in _table(found.folder)] == ["failed", "complete"]
    assert (found.folder / "trial1" / "failed_batch.npz").exists()


def test_a_disk_that_is_full_ends_the_search_and_the_trial_is_made_again(
    quick: Quick, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OutputError("last.pt", "the disk is full")

    with monkeypatch.context() as without:
        without.setattr(searching, "train", full)
        with pytest.raises(OutputError, match="the disk is full"):
            _tune(place, tmp_path)
    assert _tune(place, tmp_path).trials == 3
    assert len(quick.tried) == 3


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, "its epochs was 2 and now is 3"),
        ({"degrees": 5}, r"its degrees was 0\.0 and now is 5\.0"),
        ({"search": ["lr0"]}, "it looked for lr0, degrees, optimizer and now it would for lr0"),
        ({"search": None, "space": {"lr0": (1e-4, 1e-3)}}, "it looked for"),
        ({"seed": 4}, "its seed was 0"),
    ],
    ids=str,
)
def test_another_search_in_the_folder_is_refused(
    changes: dict[str, Any], words: str, quick: Quick, place: Place, tmp_path: Path
) -> None:
    _tune(place, tmp_path, iterations=1)
    with pytest.raises(OptionError, match=words) as caught:
        _tune(place, tmp_path, **changes)
    assert str(tmp_path / "tune") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(quick.tried) == 1
    assert _tune(place, tmp_path, iterations=2, workers=1, plots=True, exist_ok=True, resume=True).trials == 2


def test_another_model_or_data_set_is_refused(quick: Quick, tmp_path: Path) -> None:
    place = Place(*lay_down(tmp_path))
    _tune(place, tmp_path, iterations=1)
    text = place.model.read_text(encoding="utf-8")
    place.model.write_text(text.replace("[8, 3, 2]", "[16, 3, 2]"), encoding="utf-8")
    with pytest.raises(OptionError, match=r"the contents of tiny\.yaml were other ones"):
        _tune(place, tmp_path)
    place.model.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=r"its model was tiny\.yaml and now is other\.yaml"):
        _tune(Place(place.model.rename(tmp_path / "other.yaml"), place.data), tmp_path)
    (tmp_path / "other.yaml").rename(place.model)
    label = next((place.data.parent / "labels" / "val").glob("*.txt"))
    label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n", encoding="utf-8")
    with pytest.raises(OptionError, match="its data set had other pictures or labels"):
        _tune(place, tmp_path)


def test_a_folder_of_something_else_is_left_alone(quick: Quick, place: Place, tmp_path: Path) -> None:
    (tmp_path / "tune").mkdir()
    note = tmp_path / "tune" / "note.txt"
    note.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="it is not empty, and no search is in it"):
        _tune(place, tmp_path)
    note.rename(tmp_path / "tune" / "study.db")
    with pytest.raises(SourceError, match=r"study\.db.*it is no database of a search"):
        _tune(place, tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        _tune(place, tmp_path / "file" / "runs")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": ["degree"]}, "Did you mean 'degrees'"),
        ({"search": ["epochs"]}, "Option search='epochs'"),
        ({"iterations": 0}, "iterations"),
        ({"iteration": 5}, "did you mean 'iterations'"),
        ({"space": {"degree": (1, 2)}, "search": None}, "Did you mean 'degrees'"),
        ({"space": {"lr0": (0.1, 0.01)}, "search": None}, "the lower end first"),
        ({"space": {"lr0": (0.0, 0.01)}, "search": None}, "lr0"),
        ({"space": {"lr0": 0.1}, "search": None}, "a place to search is"),
        ({"space": {"lr0": (1e-5, 1e-1, 2.0)}, "search": None}, "a place to search is"),
        ({"space": {"degrees": Range(0, 10, True)}, "search": None}, "by powers"),
        ({"space": {"degrees": (0, 360)}, "search": None}, "degrees"),
        ({"space": {"nbs": (8.5, 9)}, "search": None}, "nbs"),
        ({"space": {"rect": (0, 1)}, "search": None}, "it is not a number"),
        ({"space": {"optimizer": ["SDG"]}, "search": None}, "did you mean SGD"),
        ({"space": {}, "search": None}, "at least one argument"),
        ({"resume": "runs/train/weights/last.pt"}, "goes on by itself"),
        ({"device": "cuda:7"}, "cuda:7"),
        ({"epochs": 0}, "epochs"),
    ],
    ids=str,
)
def test_one_line_says_what_is_wrong(
    changes: dict[str, Any], words: str, quick: Quick, place: Place, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=f"(?i){words}") as caught:
        _tune(place, tmp_path / "runs", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_processes_of_torchrun_are_refused(
    quick: Quick, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(OptionError, match="start the same command once for each GPU"):
        _tune(place, tmp_path)


def test_nothing_to_validate_with(quick: Quick, tmp_path: Path) -> None:
    place = Place(*lay_down(tmp_path))
    for path in (place.data.parent / "labels" / "val").glob("*.txt"):
        path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="no object is labelled in its split 'val'"):
        _tune(place, tmp_path)


def test_validation_stays_on(quick: Quick, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _tune(place, tmp_path, iterations=1, val=False)
    assert "val=False is not followed" in capsys.readouterr().err


def test_optuna_is_named_where_it_is_missing(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "?segkit\[tune\]"?'):
        _tune(place, tmp_path)


def test_the_help_and_training_load_no_optuna(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom segkit.cli import main\nassert main(['tune', '--help']) == 0\n"
        "import segkit.core.training.starting\nprint({'optuna', 'torch', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    done = in_a_process(code, tmp_path)
    assert "optuna" not in done.stderr, done.stderr
    assert "iterations" in done.stdout


# -- several processes ----------------------------------------------------------------------------------------------


def test_processes_share_a_search_and_take_up_what_one_of_them_leaves(place: Place, tmp_path: Path) -> None:
    options = {name: value for name, value in SMALL.items() if name != "search"} | {"data": str(place.data)}
    plan = plan_of(place.model, options, TuneArguments(search=SEARCH), None, None)
    with open_search(tmp_path, plan, prune=True) as one, open_search(tmp_path, plan, prune=True) as other:
        first, second = one.claim(3), other.claim(3)
        assert first is not None
        assert second is not None
        assert (first.number, second.number) == (1, 2)
        assert first.values != second.values
        with first:
            pass
        again = other.claim(3)
        assert again is not None
        assert (again.number, again.values) == (1, first.values), "it was left and goes to who asks next"
        third = one.claim(3)
        assert third is not None
        assert third.number == 3
        assert one.claim(3) is None
        third.succeeded(0.5, {})
        assert [row.state for row in other.rows()] == ["running", "running", "complete"]


# -- what is seen ---------------------------------------------------------------------------------------------------


def test_a_terminal_has_a_line_for_every_trial(
    quick: Quick, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, highlight=False, legacy_windows=False)
    monkeypatch.setattr(searching, "Teller", lambda places, most: Teller(places, most, lambda: Screen(console)))
    quick.fails = (2,)
    _tune(place, tmp_path, iterations=3)
    assert "trial 3/3  epoch 2/2  batch 1/1" in written.getvalue()
    lines = [line for line in Shown(written.getvalue(), 100).lines if line.strip()]
    assert lines[0].split() == ["Trial", "Fitness", "Box", "mAP", "Mask", "mAP", "Time", *SEARCH]
    kept = [line for line in lines[1:] if line.split()[0] in ("1", "2", "3")]
    assert [line.split()[0] for line in kept] == ["1", "2", "3"]
    assert "failed" in kept[1]
    assert all(len(line) < 100 for line in lines)


def test_a_log_has_a_line_for_every_trial(
    quick: Quick, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _tune(place, tmp_path, iterations=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trial")]
    assert len(lines) == 2
    assert lines[0].startswith("trial 1/2: fitness 0.99")
    assert "the best so far" in lines[0]
    assert "optimizer AdamW" in lines[0]


def test_the_picture(quick: Quick, place: Place, tmp_path: Path) -> None:
    folder = _tune(place, tmp_path, plots=True).folder
    assert (folder / "tune.png").read_bytes().startswith(b"\x89PNG")
    draw_tuning([Row(1, "failed", None, {"lr0": 0.1}, {})], {"lr0": Range(1e-3, 1, True)}, tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


def test_without_matplotlib_there_is_no_picture_and_one_notice(
    quick: Quick, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = _tune(place, tmp_path, plots=True).folder
    assert not (folder / "tune.png").exists()
    assert capsys.readouterr().err.count("Drawing tune.png needs segkit[val]") == 1


def test_a_correlation_is_by_ranks() -> None:
    def rows(scores: Sequence[float]) -> list[Row]:
        return [Row(i, "complete", score, {"lr0": 10.0**-i, "o": "a"}, {}) for i, score in enumerate(scores)]

    assert correlation(rows([9, 8, 7, 6, 5, 4, 3, 2]), "lr0") == pytest.approx(1)
    assert correlation(rows([1, 2, 3, 4, 5, 6, 7, 8]), "lr0") == pytest.approx(-1)
    assert correlation(rows([1] * 8), "lr0") is None
    assert correlation(rows([1, 2]), "lr0") is None
    assert correlation(rows([1, 2, 3, 4, 5, 6, 7, 8]), "o") is None


# -- the command line -----------------------------------------------------------------------------------------------


def test_the_command(
    quick: Quick, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = f"model={place.model} data={place.data} epochs=2 iterations=3 search=lr0,degrees plots=False device=cpu"
    assert main(["segment", "tune", *words.split()]) == 0
    said = capsys.readouterr()
    assert "Best of 3 trials" in said.out
    assert "segkit train cfg=runs/segment/tune/best_hyperparameters.yaml" in said.out
    assert main(["tune", *words.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == set(Tuned._fields)
    assert set(found["best"]) == {"lr0", "degrees"}
    assert len(quick.tried) == 3
    assert main(["tune", *words.replace("search=lr0", "search=lr9").split()]) == 2
    assert main(["tune", f"data={place.data}"]) == 2
    assert "tune needs a model" in capsys.readouterr().err
    assert main(["tune", "cfg=runs/segment/tune/best_hyperparameters.yaml", "name=more", "iterations=1"]) == 0
