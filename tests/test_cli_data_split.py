"""`segkit data split` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.cli import main

TRIANGLE = "0.1 0.1 0.9 0.1 0.5 0.9"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten pictures with labels of two classes, in the working folder's `set`."""
    monkeypatch.chdir(tmp_path)
    for kind in ("images", "labels"):
        (Path("set") / kind).mkdir(parents=True)
    for i in range(10):
        picture = np.random.default_rng(i).integers(0, 256, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(f"set/images/{i}.png", picture)
        Path(f"set/labels/{i}.txt").write_text(f"{i % 2} {TRIANGLE}\n")
    return tmp_path


def run(capsys, *argv):
    code = main(["data", "split", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_a_folder_is_divided_and_the_description_can_be_checked(folder, capsys):
    code, out, _ = run(capsys, "set", "--val", "0.2", "--test", "0.1", "--seed", "3")
    assert code == 0
    assert "train 7, val 2, test 1" in out
    assert "class1" in out
    assert out.endswith("written: set/data.yaml\n")
    assert len(Path("set/train.txt").read_text().splitlines()) == 7
    assert main(["data", "check", "set/data.yaml", "--strict", "--no-save"]) == 0


def test_a_seed_below_zero_is_one_clear_line(folder, capsys):
    code, _, err = run(capsys, "set", "--seed", "-1")
    assert (code, err) == (2, "Error: Option seed='-1' is not usable: should be greater than or equal to 0.\n")


def test_the_same_command_gives_the_same_lists(folder, capsys):
    run(capsys, "set", "seed=5")
    first = Path("set/val.txt").read_text()
    assert run(capsys, "set", "seed=5", "--exist-ok")[0] == 0
    assert Path("set/val.txt").read_text() == first


def test_json_tells_where_everything_went(folder, capsys):
    code, out, _ = run(capsys, "set", "--json", "copy=out")
    document = json.loads(out)
    assert code == 0
    assert document["pictures"] == {"train": 8, "val": 2}
    assert document["classes"][1] == {"index": 1, "name": "class1", "pictures": {"train": 4, "val": 1}}
    assert Path(document["data"]) == folder / "out" / "data.yaml"
    assert len([*Path("out/labels/train").iterdir()]) == 8
    assert not Path("set/data.yaml").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere"], "there is no such file or folder"),
        (["set/labels"], "no data.yaml"),
        (["set", "val=much"], "val='much'"),
        (["set", "val=1"], "leave some for training"),
        (["set", "copy=set"], "new folder only"),
        (["set", "size=3"], "Unknown option 'size'"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_and_nothing_is_written(folder, capsys, argv, words):
    before = sorted(Path().rglob("*"))
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert words in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


def test_a_second_run_does_not_overwrite_the_first(folder, capsys):
    run(capsys, "set")
    before = Path("set/train.txt").read_bytes()
    code, _, err = run(capsys, "set", "seed=1")
    assert code == 2
    assert "exist_ok" in err
    assert Path("set/train.txt").read_bytes() == before
