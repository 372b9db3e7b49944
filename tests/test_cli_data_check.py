"""`segkit data check` as a user meets it."""

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
    """A data set in the working folder: six pictures in train, two in val, two classes, one without objects."""
    monkeypatch.chdir(tmp_path)
    for i in range(8):
        name = f"{'train' if i < 6 else 'val'}/{i}"
        for kind, suffix in (("images", ".png"), ("labels", ".txt")):
            path = Path(kind) / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "images":
                cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (32, 32, 3)).astype(np.uint8))
            else:
                path.write_text(f"0 {TRIANGLE}\n" * (i != 5))
    Path("data.yaml").write_text("train: images/train\nval: images/val\nnames: [kitten, unicorn]\n")
    return tmp_path


def run(capsys, *argv):
    code = main(["data", "check", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def spoil(count=1):
    Path("labels/train/0.txt").write_text(f"0 {TRIANGLE}\n" + "".join(f"{9 + i} {TRIANGLE}\n" for i in range(count)))


def test_what_is_in_a_data_set_is_told_and_drawn(folder, capsys):
    code, out, err = run(capsys, "data.yaml")
    assert (code, err) == (0, "looking at pictures: 8 pictures\n")
    for text in (
        "train: 6 pictures",
        "val: 2 pictures",
        "1 picture without objects",
        "kitten",
        "32x32",
        "nothing wrong",
    ):
        assert text in out
    assert "without objects: unicorn" in out
    for name in ("sheet", "histograms"):
        path = Path("runs/data/check") / f"{name}.png"
        assert str(path) in out
        assert cv2.imread(str(path)) is not None


def test_every_run_has_a_folder_of_its_own_unless_told(folder, capsys):
    for _ in range(2):
        run(capsys, "data.yaml")
    run(capsys, "data.yaml", "--exist-ok")
    run(capsys, "data.yaml", "project=out", "name=mine")
    assert sorted(path.name for path in Path("runs/data").iterdir()) == ["check", "check2"]
    assert Path("out/mine/sheet.png").is_file()


def test_nothing_is_written_when_that_is_not_wanted(folder, capsys):
    before = sorted(Path().rglob("*"))
    code, out, _ = run(capsys, "data.yaml", "--no-save")
    assert (code, "sheet.png" in out) == (0, False)
    assert sorted(Path().rglob("*")) == before


def test_a_fault_is_told_by_file_and_line_and_strict_fails(folder, capsys):
    spoil()
    code, out, _ = run(capsys, "data.yaml", "--no-save")
    assert code == 0
    assert "class out of range: 1 (error)\n  labels/train/0.txt:2: class 9" in out
    assert "data.yaml: 1 error\n" in out
    assert "dropped       1 row" in out
    assert run(capsys, "data.yaml", "--no-save", "--strict")[0] == 1


def test_strict_passes_over_what_is_used_all_the_same(folder, capsys):
    Path("labels/train/0.txt").unlink()
    assert run(capsys, "data.yaml", "--no-save", "--strict")[0] == 0


def test_the_first_faults_of_a_kind_are_shown_and_all_on_demand(folder, capsys):
    spoil(9)
    _, out, _ = run(capsys, "data.yaml", "--no-save")
    assert out.count("labels/train/0.txt:") == 5
    assert "and 4 more (--all shows them)" in out
    _, out, _ = run(capsys, "data.yaml", "--no-save", "--all")
    assert out.count("labels/train/0.txt:") == 9


def test_json_is_one_document_with_every_fault(folder, capsys):
    spoil(9)
    code, out, err = run(capsys, "data.yaml", "--json", "--strict")
    document = json.loads(out)
    assert (code, err) == (1, "looking at pictures: 8 pictures\n")
    assert document["counts"] == {"class out of range": 9}
    assert document["levels"] == {"error": 9, "warning": 0, "notice": 0}
    assert [each["line"] for each in document["problems"]] == list(range(2, 11))
    first = {key: document["problems"][0][key] for key in ("kind", "level", "path", "line", "dropped")}
    assert first == {
        "kind": "class out of range",
        "level": "error",
        "path": "labels/train/0.txt",
        "line": 2,
        "dropped": True,
    }
    train = document["splits"]["train"]
    assert (train["pictures"], train["background"], train["objects"], train["dropped_rows"]) == (6, 1, 5, 9)
    assert train["classes"][0] == {"index": 0, "name": "kitten", "objects": 5, "pictures": 5}
    assert document["names"] == {"0": "kitten", "1": "unicorn"}
    assert Path(document["sheet"]).parent == Path(document["save_dir"])


def test_json_of_a_check_without_pictures_says_so(folder, capsys):
    document = json.loads(run(capsys, "data.yaml", "--json", "--no-save")[1])
    assert (document["save_dir"], document["sheet"], document["histograms"]) == (None, None, None)


def test_splits_of_the_same_pictures_are_shown_once(folder, capsys):
    Path("data.yaml").write_text("train: images/train\nval: images/train\nnames: [kitten, unicorn]\n")
    _, out, _ = run(capsys, "data.yaml", "--no-save")
    assert "the same numbers as train" in out
    assert out.count("longer side") == 1
    assert "6 of the 6 pictures of val are files of train too" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such"),
        ("- a list\n", "no description"),
        ("train: images/none\nnames: [a]\n", "images/none"),
        ("train: empty\nnames: [a]\n", "no pictures"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_one_clear_line(folder, capsys, text, words):
    Path("empty").mkdir()
    Path("data.yaml").unlink()
    if text:
        Path("data.yaml").write_text(text)
    before = sorted(Path().rglob("*"))
    code, out, err = run(capsys, "data.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("Error: Cannot read 'data.yaml': ")
    assert words in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


def test_a_data_set_without_one_usable_object_is_shown_and_fails(folder, capsys):
    for path in Path("labels").rglob("*.txt"):
        path.write_text(f"9 {TRIANGLE}\n")
    code, out, _ = run(capsys, "data.yaml", "--no-save")
    assert code == 2
    assert "class out of range: 8 (error)" in out
    assert "8 errors, no picture has an object that can be used" in out


def test_a_place_that_cannot_be_written_is_one_clear_line(folder, capsys):
    Path("file").write_text("in the way")
    code, _, err = run(capsys, "data.yaml", "project=file")
    assert code == 2
    assert "Error: Cannot write" in err


def test_an_unknown_option_is_refused_before_any_work(folder, capsys):
    code, _, err = run(capsys, "data.yaml", "stric=True")
    assert code == 2
    assert "Did you mean 'strict'?" in err


def test_names_of_any_script_do_not_stop_it(folder, capsys):
    Path("data.yaml").write_text("train: images/train\nval: images/val\nnames: ['房间', '🦄']\n", encoding="utf-8")
    code, out, _ = run(capsys, "data.yaml")
    assert code == 0
    assert "房间" in out
    assert Path("runs/data/check/sheet.png").is_file()


def test_real_data_sets_are_checked(data: Path, tmp_path, capsys) -> None:
    root = data / "datasets" / "rooms-mini-seg"
    code, out, _ = run(capsys, str(root), f"project={tmp_path}")
    assert code == 0
    assert "train: 122 pictures" in out
    assert "boxes and polygons mixed: 8 (warning)" in out
    assert cv2.imread(str(tmp_path / "check" / "sheet.png")).shape[1] > 1000
