"""What the shell offers when a user presses TAB, asked through the scripts that users install."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segkit.cli.app import GROUPS, SUMMARIES, load
from segkit.cli.completion import Line, answer, offers

HEAVY = {"numpy", "cv2", "PIL", "torch", "onnx", "onnxruntime", "pandas"}
RUNTIMES = HEAVY - {"numpy", "cv2", "PIL"}  # the declarations of formats name types of theirs

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def offered(*words: str) -> list[str]:
    """What may stand for the last word."""
    return offers(Line(words[:-1], words[-1]), SUMMARIES, GROUPS, load)


def process(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segkit.cli"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pre",), ["predict"]),
        (("in",), ["info", "inspect"]),
        (("segment", "exp"), ["export"]),
        (("--v",), ["--version"]),
        (("predict", "--co"), ["--conf"]),
        (("predict", "mod"), ["model="]),
        (("predict", "ret"), ["retina_masks"]),
        (("segment", "predict", "a.pt", "max"), ["max_det="]),
        (("export", "--format", "on"), ["onnx"]),
        (("export", "format=on"), ["format=onnx"]),
        (("export", "format", "=", "on"), ["onnx"]),
        (("export", "--format=on"), ["--format=onnx"]),
        (("export", "a.pt", "format=onnx", "--ops"), ["--opset"]),
        (("formats", "on"), ["onnx"]),
        (("predict", "save=F"), ["save=False"]),
        (("predict", "model="), []),
        (("predict", "model=a"), []),
        (("predict", "a.pt", ""), []),
        (("predict", "--", "mo"), []),
        (("predict", "--output"), []),
    ],
)
def test_both_grammars_are_completed(
    words: tuple[str, ...], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered(*words) == expected


def test_export_offers_every_format_that_can_be_exported_to() -> None:
    found = offered("export", "--format", "")
    assert {"onnx"} <= set(found)
    assert "pytorch" not in found
    assert "pytorch" in offered("formats", "")


def test_an_option_of_another_format_is_not_offered() -> None:
    assert offered("export", "--ops") == []


def test_a_format_that_does_not_exist_is_no_error() -> None:
    assert offered("export", "format=nope", "--out") == ["--output"]


def test_files_are_offered_beside_names_that_begin_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / ".modest").touch()
    assert offered("predict", "mod") == ["model=", "model.pt", "models/"]


@pytest.mark.parametrize(
    ("shell", "environment", "expected"),
    [
        ("bash", {"COMP_WORDS": "segkit\nexport\nformat\n=\non", "COMP_CWORD": "4"}, ("onnx", 0)),
        ("bash", {"COMP_WORDS": "segkit predict --max", "COMP_CWORD": "2"}, ("--max-det", 0)),
        ("bash", {"COMP_WORDS": "segkit\npredict\nmodel\n=\n", "COMP_CWORD": "4"}, ("", 0)),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "segkit export format=on"}, ("compadd -Q -- format=onnx", 0)),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "segkit predict max"}, ("compadd -Q -S '' -- max_det=", 0)),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "segkit predict model=x"}, ("compset -P '*='; _files", 0)),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "segkit predict 'unfinished na"}, ("_files", 0)),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "segkit pre", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            ("predict", 0),
        ),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "segkit predict model=", "_TYPER_COMPLETE_FISH_ACTION": "is-args"},
            ("", 1),
        ),
        (
            "powershell",
            {"_TYPER_COMPLETE_ARGS": "segkit pre", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "pre"},
            ("predict::: ", 0),
        ),
    ],
)
def test_every_shell_is_answered_in_its_own_terms(
    shell: str, environment: dict[str, str], expected: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(shell, environment, SUMMARIES, GROUPS, load) == expected


@pytest.mark.parametrize(
    ("words", "heavy"),
    [("segkit pre", HEAVY), ("segkit predict --co", RUNTIMES), ("segkit export --format o", RUNTIMES)],
)
def test_completing_loads_nothing_heavy(words: str, heavy: set[str]) -> None:
    code = (
        "import sys; from segkit.cli import main; main([]);"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules})"
    )
    environment = {"_SEGKIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    answered, _, loaded = done.stdout.rpartition("loaded")
    assert answered.strip()
    assert set(loaded.split()) & heavy == set()


def test_a_line_that_makes_no_sense_is_answered_with_nothing() -> None:
    done = process({"_SEGKIT_COMPLETE": "complete_bash", "COMP_WORDS": "segkit nonsense --x", "COMP_CWORD": "2"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Terminal:
    """bash as a user sits before it, with the completion installed and `segkit` on the path."""

    def __init__(self, folder: Path) -> None:
        tool = folder / "bin" / "segkit"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m segkit.cli "$@"\n')
        tool.chmod(0o755)
        (folder / "completion.sh").write_text(script())
        ours, theirs = pty.openpty()
        self._screen = ours
        environment = os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.type("bind 'set bell-style none'; source ./completion.sh; echo rea''dy\r")
        self.until("ready")

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def until(self, wanted: str) -> str:
        """Everything on the screen until `wanted` is there."""
        seen, end = "", time.monotonic() + 60
        while wanted not in seen:
            assert time.monotonic() < end, f"{wanted!r} never came; the screen shows {seen!r}"
            if select.select([self._screen], [], [], 1)[0]:
                seen += os.read(self._screen, 4096).decode()
        return seen

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)


def script() -> str:
    """What `segkit --show-completion bash` prints, asked from within bash."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m segkit.cli --show-completion; true"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@needs_bash
@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("segkit pred\t", "segkit predict "),
        ("segkit predict max\t5", "segkit predict max_det=5"),
        ("segkit export format=on\t", "segkit export format=onnx "),
        ("segkit predict model=wei\t", "segkit predict model=weights.pt "),
        ("segkit predict --ret\t", "segkit predict --retina-masks "),
    ],
)
def test_bash_itself_completes(typed: str, becomes: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    terminal = Terminal(tmp_path)
    try:
        terminal.type(typed)  # and no Enter: what counts is what stands on the line
        terminal.until(becomes)
    finally:
        terminal.close()


def test_the_install_option_is_still_there() -> None:
    done = subprocess.run([sys.executable, "-m", "segkit.cli", "--help"], capture_output=True, text=True, check=True)
    assert "--install-completion" in done.stdout
