"""`segkit data show` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["data", "show", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of five grey pictures with a black square each."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
    for number in range(5):
        picture = np.full((64, 96, 3), 160, np.uint8)
        picture[16:48, 24:72] = 0
        for split in ("train", "val")[: 1 + (number < 2)]:
            cv2.imwrite(str(tmp_path / "images" / split / f"{number}.png"), picture)
            row = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"
            (tmp_path / "labels" / split / f"{number}.txt").write_text(row)
    description = tmp_path / "squares.yaml"
    description.write_text("train: images/train\nval: images/val\nnames: [square]\n")
    monkeypatch.chdir(tmp_path)
    return description


def test_the_sheet_is_where_it_says_with_masks_boxes_and_names(squares: Path, capsys) -> None:
    code, out, _ = run(capsys, "squares.yaml", "imgsz=96")
    assert (code, out) == (0, f"5 samples with 5 objects: {Path('runs', 'data', 'show', 'squares_train.jpg')}\n")
    sheet = cv2.imread("runs/data/show/squares_train.jpg")
    assert sheet.shape == (2 * 96 + 4, 3 * 96 + 8, 3)
    first = sheet[:96, :96].astype(int)
    assert np.abs(first[4, 48] - 114).max() < 12  # the border
    assert np.abs(first[20, 4] - 160).max() < 12  # the picture
    assert np.ptp(first[55, 48]) > 40  # the square is black: a tint has coloured it


def test_unchanged_samples_differ_from_changed_ones_and_changes_repeat(squares: Path, capsys) -> None:
    sheets = []
    for index, words in enumerate([(), ("--augment",), ("augment",), ("--augment", "--seed", "1"), ("degrees=90",)]):
        code, _, err = run(capsys, "squares.yaml", "imgsz=96", "count=4", f"output={index}.png", *words)
        assert code == 0, err
        sheets.append(Path(f"{index}.png").read_bytes())
    assert sheets[1] == sheets[2]
    assert len({sheets[0], sheets[1], sheets[3], sheets[4]}) == 4


def test_json_says_the_same(squares: Path, capsys) -> None:
    code, out, _ = run(capsys, "squares.yaml", "split=val", "--imgsz", "64,96", "--mosaic", "0", "--json")
    assert code == 0
    sheet = str(Path("runs", "data", "show", "squares_val_augmented.jpg"))
    document = json.loads(out)
    assert (document["sheet"], document["samples"]) == (sheet, 2)
    assert cv2.imread(sheet).shape == (64, 2 * 96 + 4, 3)


def test_a_map_and_single_masks_are_drawn_alike(squares: Path, capsys) -> None:
    for name, words in (("map.png", ()), ("single.png", ("overlap_mask=False",))):
        assert run(capsys, "squares.yaml", "imgsz=96", f"output={name}", *words)[0] == 0
    assert Path("map.png").read_bytes() == Path("single.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.yaml",), "nowhere.yaml"),
        (("squares.yaml", "split=test"), "no split 'test'"),
        (("squares.yaml", "mosaic=2"), "less than or equal to 1"),
        (("squares.yaml", "mozaic=1"), "Did you mean 'mosaic'"),
        (("squares.yaml", "count=0"), "greater than or equal to 1"),
        (("squares.yaml", "imgsz=97"), "multiples of mask_ratio"),
        (("squares.yaml", "output=sheet.gif"), ".jpg, .jpeg, .png"),
        (("squares.yaml", "output=squares.yaml/sheet.png"), "in the way"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing_behind(squares: Path, capsys, words, said) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(squares.parent.glob("sheet*"))
    assert not (squares.parent / "runs").exists()


def test_help_names_every_change(capsys) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for option in ("--augment", "--mosaic", "--copy-paste-mode", "--perspective", "--count", "--seed"):
        assert option in out
