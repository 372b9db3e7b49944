"""What docs/training.md says is true: its tables are those of the options, its commands and scripts are accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from segkit._train import train_options
from segkit._tune import search_options
from segkit.cli.app import SUMMARIES, load
from segkit.cli.argv import joined, normalise, split
from segkit.core.backend.options import validate
from segkit.core.training.arguments import OF_OTHERS, TrainArguments
from segkit.core.training.starting import CHANGEABLE
from segkit.core.training.tuning import files
from segkit.core.training.tuning.arguments import TuneArguments
from segkit.core.training.tuning.space import places_of
from segkit.core.training.tuning.study import DATABASE

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


def section(title: str) -> str:
    """The text below a title of the page."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    """Fenced code blocks of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def segkit_commands() -> list[list[str]]:
    """The words behind `segkit`, or behind torchrun's `-m segkit.cli`, of every command of the page."""
    lines = [shlex.split(line.partition("  #")[0]) for block in blocks("sh") for line in block.splitlines()]
    found = [words[words.index("segkit.cli") + 1 :] if "segkit.cli" in words else words[1:] for words in lines]
    return [words for words, line in zip(found, lines, strict=True) if "script.py" not in line]


def test_the_tables_of_arguments_are_those_of_the_models() -> None:
    told = ROW.findall(section("Arguments"))
    assert sorted(told) == sorted((row.name, row.default, row.help) for row in train_options())
    assert len(told) == len({name for name, _, _ in told})


def test_the_table_of_a_search_is_that_of_the_model() -> None:
    assert ROW.findall(section("Tune")) == [(row.name, row.default, row.help) for row in search_options()]


def test_what_may_be_given_anew_is_what_the_code_allows() -> None:
    (told,) = re.findall(r"run is resumed as what it was\. (.*?) may be given anew", section("Resume"))
    assert set(re.findall(r"`(\w+)`", told)) == CHANGEABLE


def test_the_files_of_a_search_are_named_as_they_are() -> None:
    for name in (files.BEST, files.TABLE, files.PICTURE, DATABASE, files.trial_name(1)):
        assert f"`{name}`" in section("Tune")


def test_options_of_others_that_the_page_names_are_known_as_such() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `erasing`"))
    assert set(re.findall(r"`(\w+)`", row)) <= OF_OTHERS


@pytest.mark.parametrize("words", segkit_commands(), ids=" ".join)
def test_the_commands_are_understood(words: list[str]) -> None:
    name, rest = split(joined(words), list(SUMMARIES))
    assert name in ("train", "tune")
    values = [word[2:].partition("=") for word in normalise(rest, load(name).grammar()) if word.startswith("--")]
    given: dict[str, Any] = {key: value for key, equals, value in values if equals}
    lists = {"search": [value for key, _, value in values if key == "search"]}
    own = {key: lists.get(key, value) for key, value in given.items() if key in TuneArguments.model_fields}
    validate(TuneArguments, own, "tune")
    validate(TrainArguments, {key: given[key] for key in given.keys() - own.keys() - {"cfg"}}, "train")


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_scripts_call_what_there_is(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    class Model:
        def __init__(self, name: str) -> None:
            self.name = name

        def train(self, **given: Any) -> Any:
            validate(TrainArguments, given, "train")
            called.append("train")
            return _Anything()

        def tune(self, *, space: Any = None, iterations: int, **given: Any) -> Any:
            args = validate(TrainArguments, given, "tune")
            places_of(space, None, args)
            called.append("tune")
            return _Anything()

        def __call__(self, source: str) -> None:
            called.append("predict")

    monkeypatch.setattr("segkit.YOLO", Model)
    exec(blocks("python")[number], {})
    assert called


class _Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return self
