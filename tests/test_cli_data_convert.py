"""`segkit data convert` as it is typed: what it says, its document, its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from segkit.cli.app import run


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A picture with a mask of two classes."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.jpg")
    mask = Image.new("L", (40, 30))
    mask.paste(1, (2, 3, 12, 13))
    mask.paste(2, (20, 3, 32, 13))
    mask.save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_what_was_converted_and_left_out_is_a_table(masks: Path, capsys: pytest.CaptureFixture[str]):
    out = masks / "out"
    assert run(["data", "convert", str(masks), str(out), "--from", "masks", "--names", "square"]) == 0
    shown = capsys.readouterr().out
    assert f"{out}  masks to yolo: 1 pictures, 1 objects" in shown
    for label, count in (("objects: square", 1), ("left out: regions of a pixel value that has no name", 1)):
        assert [line.split()[-1] for line in shown.splitlines() if line.startswith(label)] == [str(count)]


def test_the_document_and_the_way_back(masks: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["data", "convert", str(masks), str(masks / "out"), "names=square,wide", "--copy", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["from"] == "masks"
    assert document["names"] == {"0": "square", "1": "wide"}
    assert document["objects"] == {"square": 1, "wide": 1}
    assert document["skipped"] == {}
    assert run(["data", "convert", str(masks / "out" / "data.yaml"), str(masks / "back.json"), "to=coco"]) == 0
    areas = [each["area"] for each in json.loads((masks / "back.json").read_text())["annotations"]]
    assert areas == [pytest.approx(100, rel=0.01), pytest.approx(120, rel=0.01)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent", "out"], "there is no such file or folder"),
        (["~nobody-here/a.json", "out"], "there is no such file or folder"),
        ([".", "out", "--images", "~nobody-here"], "there is no such folder of pictures"),
        ([".", "out", "--from", "cocoo"], "Did you mean 'coco'?"),
        ([".", "out", "--least", "many"], "a whole number is wanted"),
        ([".", "out", "--class", "cell"], "only objects of instance masks"),
        ([".", "./images"], "not empty"),
        ([".", "out", "--form", "coco"], "Did you mean 'from'?"),
    ],
)
def test_errors_are_one_line_and_nothing_is_made(
    masks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
):
    monkeypatch.chdir(masks)
    before = sorted(masks.rglob("*"))
    assert run(["data", "convert", *words]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in captured.err
    assert sorted(masks.rglob("*")) == before


def test_the_help_names_every_kind(capsys: pytest.CaptureFixture[str]):
    assert run(["data", "convert", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("--from", "--class", "--exist-ok", "LabelMe", "CVAT"):
        assert word in shown
