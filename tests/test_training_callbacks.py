"""Who is told of a training, in which order, and what happens when somebody fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import fake_run
import pytest

from segkit.core.errors import MissingDependencyError, OptionError, OutputError, PluginError
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.callbacks import HOOKS, Callbacks
from segkit.core.training.events import EVENTS, GROUP, hookimpl
from segkit.core.training.run import TrainRun

ROUTINE = ["on_pretrain_routine_start", "on_pretrain_routine_end", "on_train_start"]
BATCH = ["on_train_batch_start", "on_train_batch_end"]


@pytest.fixture
def run(tmp_path: Path) -> TrainRun:
    return fake_run.run_in(tmp_path, epochs=1, batches=2)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("segkit.core.training.callbacks.notice", told.append)
    return told


def quiet(**given: Any) -> TrainArguments:
    """Arguments of a run that writes results.csv alone."""
    return TrainArguments(**{"loggers": (), "plots": False, **given})


def callbacks(functions: dict[str, Any] | None = None, plugins: Sequence[EntryPoint] = ()) -> Callbacks:
    """Those of a run with these functions and plugins."""
    return Callbacks(functions or {}, quiet(), {}, plugins)


def point(value: str, name: str = "acme") -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the module of a plugin; gives its entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str, name: str = "segkit_acme") -> EntryPoint:
        (tmp_path / f"{name}.py").write_text("from segkit.core.training.events import hookimpl\n" + text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return point(name)

    return write


class Heard:
    """Remembers what it is told."""

    def __init__(self, fail: type[BaseException] | None = None) -> None:
        self.events: list[str] = []
        self.fail = fail

    @hookimpl
    def segkit_train_epoch_end(self, run: TrainRun) -> None:
        self.events.append("train_epoch_end")
        if self.fail is not None:
            raise self.fail("the server is away")

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        self.events.append("fit_epoch_end")

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        self.events.append("teardown")


# -- functions of the user ----------------------------------------------------------------------------------------


def test_functions_are_called_in_the_order_of_events_with_the_run(run: TrainRun) -> None:
    heard: list[tuple[str, Any]] = []
    told = callbacks({name: [lambda given, name=name: heard.append((name, given))] for name in EVENTS})
    fake_run.train(told, run)
    epoch = ["on_train_epoch_start", *BATCH, *BATCH, "on_train_epoch_end", "on_fit_epoch_end", "on_model_save"]
    assert [name for name, _ in heard] == [*ROUTINE, *epoch, "on_train_end", "on_teardown"]
    assert all(given is run for _, given in heard)


def test_functions_of_one_event_are_called_in_the_order_in_which_they_were_added(run: TrainRun) -> None:
    heard: list[int] = []
    fake_run.train(callbacks({"on_train_end": [lambda run, n=n: heard.append(n) for n in range(3)]}), run)
    assert heard == [0, 1, 2]


def test_both_names_of_the_last_event_are_the_same(run: TrainRun) -> None:
    heard: list[str] = []
    names = ("teardown", "on_teardown")
    fake_run.train(callbacks({name: [lambda run, name=name: heard.append(name)] for name in names}), run)
    assert sorted(heard) == ["on_teardown", "teardown"]


def test_an_event_that_does_not_exist_is_refused_with_the_nearest(run: TrainRun) -> None:
    with pytest.raises(OptionError, match="did you mean on_train_epoch_end"):
        callbacks({"on_train_epoch_ends": [print]})


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("mine"), OutputError("there", "the disk is full"), KeyboardInterrupt()]
)
def test_what_a_function_raises_ends_the_training_as_it_is(run: TrainRun, error: BaseException) -> None:
    def fail(run: TrainRun) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fake_run.train(callbacks({"on_train_epoch_end": [fail]}), run)
    assert caught.value is error


def test_figures_are_written_before_a_function_sees_them(run: TrainRun) -> None:
    rows: list[int] = []
    count = lambda run: rows.append(len((run.save_dir / "results.csv").read_text().splitlines()))  # noqa: E731
    fake_run.train(callbacks({"on_fit_epoch_end": [count]}), run)
    assert rows == [2], "the titles and one epoch"


def test_a_function_may_ask_for_the_end(run: TrainRun) -> None:
    callbacks({"on_train_batch_end": [lambda run: setattr(run, "stop", True)]}).call("train_batch_end", run)
    assert run.stop


def test_processes_that_do_not_write_tell_nobody(run: TrainRun) -> None:
    fake_run.train(Callbacks.silent(), run)
    assert list(run.save_dir.iterdir()) == []


def test_a_logger_that_cannot_be_had_is_refused_before_anything_begins() -> None:
    with pytest.raises(OptionError, match="did you mean 'tensorboard'"):
        Callbacks({}, quiet(loggers=("tensorbord",)), {}, ())


def test_a_logger_that_is_not_installed_comes_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependencyError, match="Run: pip install wandb"):
        Callbacks({}, quiet(loggers=("wandb",)), {}, ())


def test_what_is_built_in_is_there(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path)
    fake_run.train(Callbacks({}, run.args, {}, ()), run)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"results.csv", "results.png", "labels.jpg", "train_batch0.jpg"} <= written
    assert any(name.startswith("events.out.tfevents") for name in written)


# -- those who fail -----------------------------------------------------------------------------------------------


def test_who_fails_is_switched_off_and_the_others_go_on(run: TrainRun, said: list[str]) -> None:
    run.epochs = 3
    broken, sound = Heard(fail=OSError), Heard()
    fake_run.train(Callbacks.of(broken, sound), run)
    assert broken.events == ["train_epoch_end", "teardown"], "told once more, to close what is open"
    assert sound.events == ["train_epoch_end", "fit_epoch_end"] * 3 + ["teardown"]
    assert said == ["Heard failed and is switched off (OSError: the server is away). The training goes on."]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_nobodys_failure(run: TrainRun, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fake_run.train(Callbacks.of(Heard(fail=error)), run)


def test_who_fails_even_at_being_closed_does_no_harm(run: TrainRun, said: list[str]) -> None:
    class Broken(Heard):
        @hookimpl
        def segkit_teardown(self, run: TrainRun) -> None:
            raise OSError

    fake_run.train(Callbacks.of(Broken(fail=OSError)), run)
    assert len(said) == 1


# -- plugins ------------------------------------------------------------------------------------------------------


def test_a_plugin_is_a_module_with_hooks(run: TrainRun, plugin: Any) -> None:
    acme = plugin("@hookimpl\ndef segkit_train_end(run): (run.save_dir / 'acme').touch()\n")
    fake_run.train(callbacks(plugins=[acme]), run)
    assert (run.save_dir / "acme").exists()


def test_a_class_makes_a_new_object_for_every_run(run: TrainRun, plugin: Any) -> None:
    acme = plugin(
        "class Acme:\n"
        "    count = 0\n"
        "    @hookimpl\n"
        "    def segkit_train_end(self, run):\n"
        "        self.count += 1\n"
        "        run.metrics['acme'] = self.count\n"
    )
    for _ in range(2):
        fake_run.train(callbacks(plugins=[point(f"{acme.value}:Acme")]), run)
        assert run.metrics["acme"] == 1


def test_plugins_are_found_by_their_entry_point(run: TrainRun, plugin: Any, tmp_path: Path) -> None:
    plugin("@hookimpl\ndef segkit_train_end(run): (run.save_dir / 'found').touch()\n")
    info = tmp_path / "segkit_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segkit-acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nacme = segkit_acme\n")
    fake_run.train(Callbacks({}, quiet(), {}), run)
    assert (run.save_dir / "found").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import a_module_that_is_nowhere\n", "cannot be imported (ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "cannot be imported (SystemExit: 3"),
        ("@hookimpl\ndef segkit_train_epoch_ends(run): ...\n", "no hook 'segkit_train_epoch_ends'; the nearest is"),
        ("def segkit_train_epoch_end(run): ...\n", "its 'segkit_train_epoch_end' is not marked with @hookimpl"),
        ("@hookimpl\ndef segkit_train_end(trainer): ...\n", "its hooks are refused (PluginValidationError: "),
        ("@hookimpl(specname='segkit_nothing')\ndef segkit_train_end(run): ...\n", "unknown hook 'segkit_nothing'"),
        ("", "it has no hook; there are segkit_pretrain_routine_start, "),
    ],
)
def test_a_broken_plugin_costs_one_notice(run: TrainRun, plugin: Any, said: list[str], text: str, problem: str) -> None:
    sound = plugin("@hookimpl\ndef segkit_train_end(run): (run.save_dir / 'sound').touch()\n", "segkit_sound")
    fake_run.train(callbacks(plugins=[plugin(text), sound]), run)
    (notice,) = said
    assert notice.startswith("Plugin 'acme' of unknown distribution: ")
    assert notice.endswith("The training goes on without it.")
    assert problem in notice
    assert (run.save_dir / "sound").exists()


def test_a_plugin_that_fails_later_is_switched_off(run: TrainRun, plugin: Any, said: list[str]) -> None:
    acme = plugin("@hookimpl\ndef segkit_train_start(run): raise RuntimeError('no licence')\n")
    fake_run.train(callbacks(plugins=[acme]), run)
    (notice,) = said
    assert "Plugin 'acme' of unknown distribution failed and is switched off (RuntimeError: no licence)" in notice


def test_an_object_whose_hook_is_misspelt_is_an_error_that_names_it() -> None:
    class Misspelt:
        @hookimpl
        def segkit_train_stop(self, run: TrainRun) -> None: ...

    with pytest.raises(PluginError, match="Misspelt: there is no hook 'segkit_train_stop'; the nearest is"):
        Callbacks.of(Misspelt())


def test_every_event_has_its_hook() -> None:
    assert [f"on_{name.removeprefix('segkit_')}" for name in HOOKS] == list(EVENTS)


def test_gathering_those_who_are_told_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from segkit.core.training.arguments import TrainArguments\n"
        "from segkit.core.training.callbacks import Callbacks\n"
        "Callbacks({}, TrainArguments(), {}, ())\n"
        "print({'torch', 'matplotlib', 'tensorboard', 'mlflow', 'wandb', 'rich'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
