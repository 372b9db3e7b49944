"""What a person sees of a training: a table on a terminal, a line an epoch elsewhere, nothing where that is wanted."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_run
import pytest
from rich.console import Console
from terminal import Shown, run_on_terminal

from segkit.core import notices
from segkit.core.training import table
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.display import Display
from segkit.core.training.pace import Pace
from segkit.core.training.run import TrainRun
from segkit.core.training.screen import Screen

FAKES = Path(fake_run.__file__).parent

SCRIPT = """
from pathlib import Path
import fake_run
from segkit.core.notices import LOGGER, notice, progress
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.display import Display
run = fake_run.run_in(Path("nowhere"))
"""

TRAIN = SCRIPT + "fake_run.train(Callbacks.of(Display()), run)\n"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class Watched:
    """A display on a terminal of a given width, and what is on it after each event."""

    def __init__(self, width: int = 140) -> None:
        self.clock = Clock()
        self._file = io.StringIO()
        self.console = Console(file=self._file, force_terminal=True, width=width, highlight=False, legacy_windows=False)
        self.callbacks = Callbacks.of(Display(lambda: Screen(self.console), self.clock))

    @property
    def shown(self) -> Shown:
        return Shown(self._file.getvalue(), self.console.width)

    def train(self, run: TrainRun, *, seconds: float = 1.0, **how: Any) -> Iterator[tuple[str, list[str]]]:
        """Train; gives each event with the lines that are to be seen after it."""
        for event in fake_run.steps(self.callbacks, run, **how):
            self.clock.time += seconds
            yield event, self.shown.lines


@pytest.fixture
def run(tmp_path: Path) -> TrainRun:
    return fake_run.run_in(tmp_path)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notices of a training that has no terminal."""
    told: list[str] = []
    monkeypatch.setattr("segkit.core.training.display.notice", told.append)
    return told


def test_every_epoch_leaves_a_line_with_its_losses_and_scores(run: TrainRun) -> None:
    watched = Watched()
    *_, (_, lines) = watched.train(run)
    titles = ["Epoch", "Memory", "box", "seg", "cls", "dfl"]
    titles += ["Box mAP50", "Box mAP50-95", "Mask mAP50", "Mask mAP50-95", "Images/s", "Time"]
    assert re.split(r"\s{2,}", lines[0].strip()) == titles
    assert [re.sub(r"\s{2,}", " | ", line.strip()) for line in lines[1:]] == [
        "1/3 | 2.1 GB | 2.000 | 4.000 | 3.000 | 1.000 | 0.100 | 0.133 | 0.233 | 0.267 | 123.4 | 1:00 | best",
        "2/3 | 2.1 GB | 1.000 | 2.000 | 1.500 | 0.500 | 0.200 | 0.267 | 0.467 | 0.533 | 123.4 | 1:00 | best",
        "3/3 | 2.1 GB | 0.667 | 1.333 | 1.000 | 0.333 | 0.300 | 0.400 | 0.700 | 0.800 | 123.4 | 1:00 | best",
    ]


def test_figures_stand_below_their_titles(run: TrainRun) -> None:
    *_, (_, lines) = Watched().train(run)
    for title, figure in (("Memory", "2.1 GB"), ("dfl", "1.000"), ("Mask mAP50-95", "0.267"), ("Time", "1:00")):
        assert lines[0].index(title) + len(title) == lines[1].index(figure) + len(figure)


@pytest.mark.parametrize("best", [True, False])
def test_only_the_best_epochs_are_marked(run: TrainRun, best: bool) -> None:
    watched = Watched()
    run.record = fake_run.record(1, best=best)
    for event in ("train_epoch_start", "train_epoch_end", "fit_epoch_end", "teardown"):
        watched.callbacks.call(event, run)
    assert ("best" in watched.shown.lines[1]) is best


def test_the_last_line_is_the_epoch_that_is_under_way(run: TrainRun) -> None:
    last = [(event, lines[-1]) for event, lines in Watched().train(run) if event.startswith("train_batch")]
    line = next(line for event, line in last[3:] if event == "train_batch_end")
    assert line.split()[0] == "1/3"
    for piece in ("2.000", "4.000", "3.000", "2/4", "3 objects", "images/s", "left", "end in"):
        assert piece in line
    assert 0 < line.count("━") < line.count("━") + line.count("─")


def test_the_bar_keeps_its_width_through_an_epoch(run: TrainRun) -> None:
    lines = [lines[-1] for event, lines in Watched().train(run) if event == "train_batch_end"]
    assert len({line.count("━") + line.count("─") for line in lines}) == 1


def test_losses_of_the_epoch_before_are_not_shown_as_those_of_the_next(run: TrainRun) -> None:
    starts = [lines[-1] for event, lines in Watched().train(run) if event == "train_epoch_start"]
    assert len(starts) == 3
    assert all("2.000" not in line and "1.000" not in line for line in starts)


def test_it_says_that_it_validates(run: TrainRun) -> None:
    found = list(Watched().train(run))
    during = [lines[-1] for event, lines in found if event == "train_epoch_end"]
    assert all(line.endswith("validating") for line in during)
    after = [lines[-1] for event, lines in found if event == "model_save"]
    assert [line.split()[-1] for line in after[:2]] == ["best", "best"], "between two epochs nothing is going on"
    assert after[2] == "validating the best weights"


def test_a_run_that_is_stopped_early_says_that_its_best_weights_are_validated(run: TrainRun) -> None:
    watched = Watched()
    for event, _ in watched.train(run):
        if event == "fit_epoch_end":
            run.stop = True
        if event == "model_save":
            break
    assert watched.shown.lines[-1] == "validating the best weights"
    watched.callbacks.call("teardown", run)


def test_progress_is_shown_in_the_last_line(run: TrainRun) -> None:
    watched = Watched()
    for event, _ in watched.train(run):
        if event == "train_epoch_end":
            with notices.progress("validating", 20, unit="pictures") as advance:
                for _ in range(5):
                    watched.clock.time += 1
                    advance(1)
                assert watched.shown.lines[-1].endswith("validating  5/20")
            assert watched.shown.lines[-1].endswith("validating")
    assert len(watched.shown.lines) == 4, "titles and three epochs"


def test_when_it_is_over_progress_is_shown_as_ever(run: TrainRun, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in Watched().train(run):
        pass
    with notices.progress("fetching", 3, unit="files"):
        pass
    assert "fetching: 3 files" in capsys.readouterr().err


def test_without_validation_there_are_no_empty_columns(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, val=False)
    *_, (_, lines) = Watched().train(run, scored=False)
    assert "mAP" not in lines[0]
    assert "validating" not in "".join(lines)


@pytest.mark.parametrize("width", [6, 12, 20, 33, 40, 60, 79, 80, 100, 120, 200])
def test_nothing_is_ever_wider_than_the_terminal(run: TrainRun, width: int) -> None:
    watched = Watched(width)
    for _, lines in watched.train(run):
        assert max(map(len, lines)) <= width
    assert len(watched.shown.lines) == 4, "no line was wrapped"


def test_what_matters_most_is_left_out_last(run: TrainRun) -> None:
    titles = {}
    for width in (30, 60, 80, 140):
        *_, (_, lines) = Watched(width).train(fake_run.run_in(run.save_dir))
        titles[width] = set(re.split(r"\s{2,}", lines[0].strip()))
    assert titles[30] == {"Epoch", "Mask mAP50-95"}
    assert titles[80] >= {"Box mAP50-95", "Mask mAP50-95", "box", "seg", "cls", "dfl"}
    assert titles[30] < titles[60] < titles[80] < titles[140]


def test_titles_are_shown_again_when_the_terminal_becomes_wider(run: TrainRun) -> None:
    watched = Watched(80)
    for event, _ in watched.train(run):
        if event == "fit_epoch_end" and run.epoch == 0:
            watched.console.width = 140
    assert [line.split()[0] for line in watched.shown.lines if line] == ["Epoch", "1/3", "Epoch", "2/3", "3/3"]


def test_the_first_epoch_of_a_resumed_run_took_its_own_time(run: TrainRun) -> None:
    run.history, run.start_epoch = [fake_run.record(1), fake_run.record(2)], 2
    *_, (_, lines) = Watched().train(run)
    assert [line.split()[0] for line in lines if line] == ["Epoch", "3/3"]
    assert "1:00" in lines[1]


def test_nothing_is_left_of_the_last_line_and_the_cursor_is_back(run: TrainRun) -> None:
    watched = Watched()
    during = [watched.shown.cursor for event, _ in watched.train(run) if event == "train_batch_end"]
    assert not any(during)
    assert watched.shown.cursor
    assert watched.shown.lines[-1].split()[0] == "3/3"


def test_a_training_that_fails_leaves_the_terminal_as_it_was(run: TrainRun) -> None:
    watched = Watched()
    for event, _ in watched.train(run):
        if event == "train_batch_end" and run.epoch == 1:
            break
    watched.callbacks.call("teardown", run)
    assert watched.shown.cursor
    assert [line.split()[0] for line in watched.shown.lines if line] == ["Epoch", "1/3"]
    assert sys.stderr.__class__.__name__ != "FileProxy"


def test_a_run_that_begins_again_with_a_smaller_batch_has_one_table(run: TrainRun) -> None:
    watched = Watched()
    for event in ("train_start", "train_epoch_start"):
        watched.callbacks.call(event, run)
    for _ in watched.train(run):
        pass
    assert [line.split()[0] for line in watched.shown.lines if line] == ["Epoch", "1/3", "2/3", "3/3"]


# -- without a terminal -------------------------------------------------------------------------------------------


def test_elsewhere_every_epoch_is_one_line_with_the_same_figures(run: TrainRun, said: list[str]) -> None:
    fake_run.train(Callbacks.of(Display(lambda: None)), run)
    assert said == [
        f"epoch {epoch}/3: box {box}, seg {seg}, cls {cls}, dfl {dfl}; box mAP50 {scores[0]}, mAP50-95 {scores[1]}; "
        f"mask mAP50 {scores[2]}, mAP50-95 {scores[3]}; 123.4 images/s, 2.1 GB, 1:00, best"
        for epoch, box, seg, cls, dfl, scores in (
            (1, "2.000", "4.000", "3.000", "1.000", ("0.100", "0.133", "0.233", "0.267")),
            (2, "1.000", "2.000", "1.500", "0.500", ("0.200", "0.267", "0.467", "0.533")),
            (3, "0.667", "1.333", "1.000", "0.333", ("0.300", "0.400", "0.700", "0.800")),
        )
    ]


def test_what_is_not_known_is_left_out_of_the_line(said: list[str]) -> None:
    record = fake_run.record(1, scored=False, memory=0, images_per_second=0.0)
    assert table.sentence(record, 75) == "epoch 1/3: box 2.000, seg 4.000, cls 3.000, dfl 1.000; 1:15"


def test_in_a_pipe_there_are_lines_and_no_codes() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(FAKES)!r})\n{TRAIN}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "\x1b" not in done.stderr


# -- real terminals -----------------------------------------------------------------------------------------------


def test_notices_bars_and_prints_stand_above_the_epoch_that_is_under_way() -> None:
    output = run_on_terminal(
        SCRIPT
        + """
for event in fake_run.steps(Callbacks.of(Display()), run):
    if event == "train_batch_end" and run.batch_number == 1 and run.epoch == 1:
        notice("something worth knowing")
        print("printed by a callback")
    if event == "train_epoch_end":
        with progress("validating", 3, unit="pictures") as advance:
            advance(3)
notice("it is over")
""",
        columns=100,
    )
    shown = Shown(output, 100)
    assert [line if "  " not in line else line.split()[0] for line in shown.lines] == [
        *("Epoch", "1/3", "something worth knowing", "printed by a callback", "2/3", "3/3", "it is over"),
    ]
    assert shown.cursor
    assert "validating  3/3" in output


def test_an_error_that_ends_the_script_gives_the_cursor_back() -> None:
    output = run_on_terminal(
        SCRIPT
        + """
callbacks = Callbacks.of(Display())
try:
    for event in fake_run.steps(callbacks, run):
        if event == "train_batch_end":
            raise KeyboardInterrupt
finally:
    callbacks.call("teardown", run)
"""
    )
    assert Shown(output).cursor
    assert "KeyboardInterrupt" in Shown(output).lines[-1]


def test_no_color_means_no_color() -> None:
    coloured = re.compile(r"\x1b\[[\d;]*3\d")
    assert coloured.search(run_on_terminal(TRAIN))
    assert not coloured.search(run_on_terminal(TRAIN, environ={"NO_COLOR": "1"}))


@pytest.mark.parametrize(
    "change", ["LOGGER.setLevel('WARNING')", "LOGGER.addHandler(__import__('logging').NullHandler())"]
)
def test_a_terminal_stays_empty_where_segkit_is_silenced_or_speaks_elsewhere(change: str) -> None:
    assert run_on_terminal(TRAIN.replace("fake_run.train(", f"{change}\nfake_run.train(")) == ""


def test_a_terminal_that_can_only_print_gets_lines() -> None:
    output = run_on_terminal(TRAIN, environ={"TERM": "dumb"})
    assert "\x1b" not in output
    assert [line.split(":")[0] for line in output.splitlines() if line.startswith("epoch")] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    output = run_on_terminal(TRAIN, environ={"PYTHONIOENCODING": "ascii"})
    assert output.isascii()
    assert "####" in output


def test_a_handler_of_the_user_gets_a_line_an_epoch(run: TrainRun, monkeypatch: pytest.MonkeyPatch) -> None:
    logger, heard = logging.Logger("segkit", logging.INFO), io.StringIO()
    logger.addHandler(logging.StreamHandler(heard))
    monkeypatch.setattr(notices, "LOGGER", logger)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fake_run.train(Callbacks.of(Display()), run)
    assert len(heard.getvalue().splitlines()) == 3


# -- figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.1234, "0.123"), (12.345, "12.35"), (123.45, "123.5"), (12345.6, "12346"), (1.5e9, "1.5e+09")),
        *((float("nan"), "nan"), (float("inf"), "inf"), (-0.5, "-0.500")),
    ],
)
def test_a_number_has_its_place(value: float, text: str) -> None:
    assert table.number(value) == text
    assert len(text) <= 7


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0:00"), (42, "0:42"), (754, "12:34"), (5025, "1:23:45"), (359_999, "99:59:59"), (403_200, "4d 16:00")],
)
def test_a_length_of_time_is_written_as_people_do(seconds: float, text: str) -> None:
    assert table.clock(seconds) == text


def paced(run: TrainRun, seconds: Callable[[int], float], clock: Clock) -> Pace:
    """After two epochs and half of the third, whose batches took so many seconds."""
    pace = Pace(clock)
    for epoch in range(3):
        run.epoch = epoch
        pace.begin_epoch(run)
        for number in range(run.batches if epoch < 2 else 2):
            run.batch_number = number
            clock.time += seconds(number)
            pace.count(16)
        if epoch < 2:
            clock.time += 10  # a validation
    return pace


def test_speed_and_time_left_come_from_all_but_the_first_batch(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, epochs=10)
    pace = paced(run, lambda number: 2.0 if number else 30.0, Clock())
    assert pace.images_per_second == 8
    assert pace.epoch_left(run) == 4
    assert pace.run_left(run) == 4 + 7 * (30 + 3 * 2 + 10)


def test_nothing_is_said_of_the_time_before_there_is_something_to_say(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path)
    pace = Pace(Clock())
    pace.begin_epoch(run)
    assert (pace.images_per_second, pace.epoch_left(run), pace.run_left(run)) == (0, None, None)


def test_a_run_of_so_many_hours_ends_when_they_are_over(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, epochs=1000, time=0.1)
    run.record = fake_run.record(1, seconds=100.0)
    clock = Clock()
    pace = paced(run, lambda number: 1.0, clock)
    assert pace.run_left(run) == 360 - 100 - clock.time
