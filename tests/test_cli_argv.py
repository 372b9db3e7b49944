"""The argv normaliser: every way of writing a command line leads to one canonical form."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segkit.cli.argv import Grammar, Kind, Positional, joined, normalise, peek, split, switched_on
from segkit.core.errors import InputError, OptionError

COMMANDS = ["predict", "export", "formats", "info", "version"]
OPTIONS = {
    "conf": Kind.VALUE,
    "imgsz": Kind.VALUE,
    "max_det": Kind.VALUE,
    "name": Kind.VALUE,
    "classes": Kind.LIST,
    "save": Kind.FLAG,
    "save_txt": Kind.FLAG,
    "show_boxes": Kind.FLAG,
    "json": Kind.FLAG,
    "debug": Kind.FLAG,
}
PREDICT = Grammar(
    "predict", "predict", (Positional("model"), Positional("source", many=True)), OPTIONS, ("model", "source", *OPTIONS)
)


def canonical(*argv: str) -> list[str]:
    command, words = split(argv, COMMANDS)
    assert command == "predict"
    return normalise(words, PREDICT)


FULL = ["predict", "--conf=0.5", "--save", "--", "a.pt", "b.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        "segment predict model=a.pt source=b.jpg conf=0.5 save",
        "predict model=a.pt source=b.jpg conf=0.5 save=True",
        "predict a.pt b.jpg --conf 0.5 --save",
        "predict a.pt b.jpg --conf=0.5 --save=true",
        "predict --conf 0.5 --save a.pt b.jpg",
        "predict --conf 0.5 --save True a.pt b.jpg",
        "predict --model a.pt --source=b.jpg --conf 0.5 save=1",
        "predict source=b.jpg model=a.pt --conf=0.5 --save",
        "predict model=a.pt b.jpg conf=0.5 save",
        "predict source=b.jpg a.pt conf=0.5 save",
        "task=segment mode=predict model=a.pt source=b.jpg conf=0.5 save",
        "segment mode=predict a.pt b.jpg conf=0.5 save",
        "--task segment --mode predict a.pt b.jpg conf=0.5 save",
        "predict task=segment mode=predict a.pt b.jpg conf=0.5 save",
        "predict conf=0.9 a.pt b.jpg conf=0.5 --no-save save",
        "predict conf=0.5 imgsz=None save a.pt b.jpg",
        "predict --conf=0.5 --save -- a.pt b.jpg",
    ],
)
def test_every_spelling_of_a_command_line_means_the_same(line: str) -> None:
    assert canonical(*line.split()) == FULL


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["classes=[0,2]"], ["--classes=0", "--classes=2"]),
        (["classes=0,2"], ["--classes=0", "--classes=2"]),
        (["classes=(0, 2)"], ["--classes=0", "--classes=2"]),
        (["--classes", "0", "--classes", "2"], ["--classes=0", "--classes=2"]),
        (["--classes=0,2"], ["--classes=0", "--classes=2"]),
        (["classes=['traffic light', \"bus\"]"], ["--classes=traffic light", "--classes=bus"]),
        (["classes=None"], []),
        (["imgsz=640"], ["--imgsz=640"]),
        (["imgsz=480,640"], ["--imgsz=480,640"]),
        (["max_det=5"], ["--max-det=5"]),
        (["max-det=5"], ["--max-det=5"]),
        (["--max_det", "5"], ["--max-det=5"]),
        (["--max-det", "5"], ["--max-det=5"]),
        (["name=a=b c"], ["--name=a=b c"]),
        (["--name", "a=b c"], ["--name=a=b c"]),
        (["--name="], ["--name="]),
        (["--conf", "-1"], ["--conf=-1"]),
        (["conf=-1"], ["--conf=-1"]),
        (["name=--save"], ["--name=--save"]),
        (["save=False"], ["--no-save"]),
        (["save=0"], ["--no-save"]),
        (["save=off"], ["--no-save"]),
        (["--no-save"], ["--no-save"]),
        (["no_save"], ["--no-save"]),
        (["--no-save=False"], ["--save"]),
        (["--save", "False"], ["--no-save"]),
        (["save-txt"], ["--save-txt"]),
        (["--save_txt"], ["--save-txt"]),
        (["--no-show_boxes"], ["--no-show-boxes"]),
        (["name=bild–größe.jpg"], ["--name=bild–größe.jpg"]),
    ],
)
def test_an_option_is_understood_in_either_grammar(words: list[str], expected: list[str]) -> None:
    assert canonical("predict", *words, "a.pt", "b.jpg") == ["predict", *expected, "--", "a.pt", "b.jpg"]


@pytest.mark.parametrize(
    ("words", "positionals"),
    [
        (["a.pt", "b.jpg", "c.jpg", "d.jpg"], ["a.pt", "b.jpg", "c.jpg", "d.jpg"]),
        (["a.pt", "source=b.jpg", "source=c.jpg"], ["a.pt", "b.jpg", "c.jpg"]),
        (["a.pt", "./save", "./x=1.jpg"], ["a.pt", "./save", "./x=1.jpg"]),
        (["a.pt", "--", "save", "conf=1", "--json"], ["a.pt", "save", "conf=1", "--json"]),
        (["a.pt", "https://host/x.jpg?a=1&b=2"], ["a.pt", "https://host/x.jpg?a=1&b=2"]),
        (["source=https://host/x.jpg?a=1", "a.pt"], ["a.pt", "https://host/x.jpg?a=1"]),
        (["model=my models/a.pt", "source=my pictures"], ["my models/a.pt", "my pictures"]),
        (["a.pt", "-"], ["a.pt", "-"]),
        (["a.pt", "0"], ["a.pt", "0"]),
    ],
)
def test_words_that_are_no_options_fill_the_places_in_order(words: list[str], positionals: list[str]) -> None:
    assert canonical("predict", *words) == ["predict", "--", *positionals]


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("predict a.pt b.jpg cnf=0.5", OptionError, "Unknown option 'cnf' for predict. Did you mean 'conf'?"),
        ("predict a.pt b.jpg --max-dets 5", OptionError, "Did you mean 'max_det'?"),
        ("predict a.pt b.jpg -conf 0.5", OptionError, "Did you mean 'conf'?"),
        ("predict a.pt b.jpg --conf", OptionError, "needs a value, e.g. conf=VALUE"),
        ("predict a.pt b.jpg --conf --save", OptionError, "needs a value"),
        ("predict a.pt b.jpg save=maybe", OptionError, "give true or false"),
        ("predict a.pt b.jpg classes=[]", OptionError, "give at least one item"),
        ("predict a.pt b.jpg task=detect", OptionError, "here it can only be 'segment'"),
        ("predict a.pt b.jpg mode=export", OptionError, "here it can only be 'predict'"),
        ("predict a.pt b.jpg model=c.pt model=d.pt", OptionError, "given twice"),
        ("predict a.pt", InputError, "SOURCE is missing"),
        ("predict", InputError, "MODEL is missing"),
        ("predict source=b.jpg", InputError, "MODEL is missing"),
        ("predict model= b.jpg", OptionError, "it is empty"),
    ],
)
def test_a_wrong_line_is_explained(line: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        canonical(*line.split())
    assert message in str(caught.value)


def test_a_command_without_many_positionals_refuses_more() -> None:
    grammar = Grammar("info", "info", (Positional("model"),), {"imgsz": Kind.VALUE}, ("model", "imgsz"))
    with pytest.raises(InputError, match=r"Unexpected 'imgs' for info: .* Did you mean 'imgsz'"):
        normalise(["a.pt", "imgs"], grammar)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], (None, ["--help"])),
        (["--help"], (None, ["--help"])),
        (["-h"], (None, ["-h"])),
        (["segment"], (None, ["--help"])),
        (["--json"], (None, ["--help"])),
        (["help"], (None, ["--help"])),
        (["help", "export"], ("export", ["--help"])),
        (["segment", "help", "export"], ("export", ["--help"])),
        (["predict", "--help"], ("predict", ["--help"])),
        (["mode=predict", "--help"], ("predict", ["mode=predict", "--help"])),
        (["--version"], ("version", ["--short"])),
        (["-V"], ("version", ["--short"])),
        (["--json", "--version"], ("version", ["--json", "--short"])),
        (["--debug", "segment", "info", "a.pt"], ("info", ["--debug", "a.pt"])),
        (["segment", "mode=info", "model=a.pt"], ("info", ["mode=info", "model=a.pt"])),
        (["--install-completion"], (None, ["--install-completion"])),
        (["--show-completion", "bash"], (None, ["--show-completion", "bash"])),
    ],
)
def test_the_command_is_found(argv: list[str], expected: tuple[str | None, list[str]]) -> None:
    assert split(argv, COMMANDS) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["predcit", "a.pt"], "Unknown command 'predcit'. Did you mean 'predict'?"),
        (["a.pt", "b.jpg"], "Unknown command 'a.pt'. Known: predict, export"),
        (["help", "exprot"], "Did you mean 'export'?"),
        (["mode=exprot", "model=a.pt"], "Did you mean 'export'?"),
        (["segment", "model=a.pt", "source=b.jpg"], "No command given"),
        (["--conf", "--save"], "No command given"),
    ],
)
def test_a_line_without_a_known_command_is_explained(argv: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        split(argv, COMMANDS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "words", [["format=onnx"], ["--format", "onnx"], ["--format=onnx"], ["x", "format=y", "format=onnx"]]
)
def test_one_value_can_be_seen_before_the_grammar_is_known(words: list[str]) -> None:
    assert peek(words, "format") == "onnx"


@pytest.mark.parametrize("words", [[], ["format"], ["--format"], ["--", "format=onnx"], ["formats=onnx"]])
def test_a_value_that_is_not_there_is_not_seen(words: list[str]) -> None:
    assert peek(words, "format") is None


@pytest.mark.parametrize(
    ("words", "on"),
    [
        (["--json"], True),
        (["json"], True),
        (["json=True"], True),
        (["--json=false"], False),
        (["--json", "json=0"], False),
        (["--", "--json"], False),
        (["jsons"], False),
    ],
)
def test_a_switch_can_be_seen_before_the_grammar_is_known(words: list[str], on: bool) -> None:
    assert switched_on(words, "json") is on


values = st.text(max_size=12).filter(lambda text: text != "None")
plain_words = st.text(string.ascii_letters + string.digits + "/._ é", min_size=1, max_size=10).filter(
    lambda text: text.replace("-", "_") not in OPTIONS and not text.startswith("no_")
)


@given(name=st.sampled_from(["conf", "imgsz", "max_det", "name"]), value=values)
def test_any_value_survives_in_both_grammars(name: str, value: str) -> None:
    expected = [f"--{name.replace('_', '-')}={value}"]
    assert canonical("predict", f"{name}={value}", "a", "b")[1:-3] == expected
    assert canonical("predict", f"--{name}={value}", "a", "b")[1:-3] == expected
    assume(not value.startswith("--"))
    assert canonical("predict", f"--{name}", value, "a", "b")[1:-3] == expected


@given(
    words=st.lists(plain_words, min_size=2, max_size=5),
    flags=st.permutations(["save", "--no-show-boxes", "save_txt=1"]),
)
def test_options_may_stand_anywhere_among_the_words(words: list[str], flags: list[str]) -> None:
    assume("segment" not in words)
    assume(not {"true", "false"} & {word.lower() for word in words})  # after a flag these are its value
    mixed = [item for pair in zip(words, [*flags, "conf=1", "conf=1"], strict=False) for item in pair]
    mixed += words[len(mixed) // 2 :]
    assert canonical("predict", *mixed)[-len(words) - 1 :] == ["--", *words]


anything = st.lists(
    st.one_of(
        st.text(max_size=8),
        plain_words,
        st.sampled_from(
            ["--", "-", "save", "--save", "no-save", "--conf", "--classes", "False", "mode=predict", "task=segment"]
        ),
        st.builds("{}={}".format, st.sampled_from([*OPTIONS, "source", "--name", "--classes"]), st.text(max_size=6)),
    ),
    max_size=8,
)


@given(words=anything)
def test_the_canonical_form_is_its_own_canonical_form(words: list[str]) -> None:
    once = unless_refused(lambda: normalise(words, PREDICT))
    assert once is None or normalise(once[1:], PREDICT) == once


@given(argv=anything)
def test_any_words_lead_to_a_command_or_to_an_explanation(argv: list[str]) -> None:
    found = unless_refused(lambda: split(argv, COMMANDS))
    assert found is None or found[0] in (None, *COMMANDS)


def unless_refused(call: Callable[[], Any]) -> Any:
    """What `call` gives, None if it refused with an explanation; anything else that it raises fails the test."""
    try:
        return call()
    except InputError:
        return None


@pytest.mark.parametrize(
    "line",
    [
        "predict model = a.pt source = b.jpg conf = 0.5 save",
        "predict model= a.pt source= b.jpg conf= 0.5 save",
        "predict model =a.pt source =b.jpg conf =0.5 save",
        "predict a.pt b.jpg --conf = 0.5 --save",
    ],
)
def test_spaces_around_an_equals_sign_change_nothing(line: str) -> None:
    assert canonical(*joined(line.split())) == FULL


@pytest.mark.parametrize(
    "line", ["a.pt = b", "device= conf=1 --save", "x -- conf = 1", "= 3", "--a=b c", "conf=", "-- = 3"]
)
def test_only_a_name_and_its_value_are_joined(line: str) -> None:
    assert joined(line.split()) == line.split()


@pytest.mark.parametrize("word", ["conf", "max-det", "classes", "source"])
def test_an_option_without_its_value_is_not_taken_for_a_file(word: str) -> None:
    with pytest.raises(OptionError, match=f"'{word}' is an option of predict and needs a value: .*write ./{word}"):
        canonical("predict", "a.pt", "b.jpg", word, "0.5")
    assert canonical("predict", "a.pt", f"./{word}")[-1] == f"./{word}"
