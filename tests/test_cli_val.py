"""`segkit val`: the table, the JSON document, both ways to write it, and errors of one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.cli import main
from segkit.core.backend.registry import default_registry
from segkit.core.data.named.entries import entry, table

FAKES = Path(__file__).parent / "fakes"
SEEN = "0 .25 .1667 .75 .1667 .75 .8333 .25 .8333\n"

Val = Callable[..., tuple[int, str, str]]


@pytest.fixture
def val(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Val]:
    """Run `segkit WORDS` beside a model that sees one square, and a data set of two pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    (tmp_path / "m_blob_model").mkdir()
    facts = {"imgsz": [64, 64], "names": {"0": "square", "1": "[red]ring"}}
    (tmp_path / "m_blob_model/meta.json").write_text(json.dumps(facts))
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, rows in enumerate([SEEN, SEEN.replace("0 ", "1 ", 1)]):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.full((60, 80, 3), 90 + number, np.uint8))
        (tmp_path / f"labels/{number}.txt").write_text(rows)
    (tmp_path / "data.yaml").write_text("path: .\nval: images\nnames: [square, '[red]ring']\n")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    yield run
    default_registry.cache_clear()


def test_the_table_has_all_first_and_then_a_row_a_class(val: Val) -> None:
    code, out, err = val("val", "model=m_blob_model", "data=data.yaml", "plots=False")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert out.splitlines()[0].split("  ")[0] == "Class"
    assert lines[0][-8:] == ["P", "R", "mAP50", "mAP50-95", "Mask", "P", "R", "mAP50", "mAP50-95"][-8:]
    assert lines[2][:3] == ["all", "2", "2"]
    assert [line[:3] for line in lines[3:5]] == [["square", "1", "1"], ["[red]ring", "1", "1"]]
    assert lines[4][-1] == "0.000"
    assert lines[5][0] == "Speed:"
    assert lines[5][-2:] == ["(2", "pictures)"]
    assert len(lines) == 6
    assert "validating" in err


def test_the_task_may_be_named_and_classes_left_out(val: Val) -> None:
    code, out, _ = val("segment", "val", "m_blob_model", "data.yaml", "--no-plots", "--no-verbose")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["all", "Speed:"]


def test_it_says_where_curves_and_pictures_are(val: Val) -> None:
    _, out, _ = val("val", "m_blob_model", "data.yaml")
    assert out.splitlines()[-1] == "Results saved to runs/segment/val"
    assert Path("runs/segment/val/BoxPR_curve.png").is_file()


def test_the_document_has_means_classes_and_cocos_numbers(val: Val) -> None:
    code, out, _ = val("val", "m_blob_model", "data.yaml", "--json", "--no-plots")
    said = json.loads(out)
    assert code == 0
    assert (said["model"], said["images"], said["instances"], said["save_dir"]) == ("m_blob_model", 2, 2, None)
    assert set(said["coco"]) == {"box", "mask"}
    assert len(said["coco"]["box"]) == 12
    assert said["coco"]["box"]["AP"] == pytest.approx(said["results"]["metrics/mAP50-95(B)"])
    assert [row["Class"] for row in said["classes"]] == ["square", "[red]ring"]
    assert set(said["speed"]) == {"preprocess", "inference", "postprocess"}


BAD = {
    "no data": (["m_blob_model"], "val needs a labelled data set"),
    "no yaml": (["m_blob_model", "data=date.yaml"], "the nearest is 'data.yaml'"),
    "option": (["m_blob_model", "data.yaml", "save_jsn"], "an option is written name=value"),
    "dashed option": (["m_blob_model", "data.yaml", "--save-jsn"], "Did you mean 'save_json'?"),
    "no split": (["m_blob_model", "data.yaml", "split=test"], "no split 'test'"),
    "no model": (["m.onnx", "data.yaml"], "m.onnx"),
    "shape": (["m_blob_model", "data.yaml", "imgsz=128"], "fixed to 64x64"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_errors_are_one_line(val: Val, words: list[str], message: str) -> None:
    code, out, err = val("val", *words)
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert message in err
    assert not Path("runs").exists()


def test_a_download_brings_the_split_that_is_scored(val: Val, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = entry("shapes")
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path / "sets"))
    monkeypatch.setitem(table(), known.name, replace(known, pictures={"train": 2, "val": 1}))
    code, _, err = val("val", "model=m_blob_model", "data=shapes.yaml", "--download", "--no-plots")
    assert code == 2
    assert "they do not fit together" in err  # 5 classes, and the model has 2
    assert [path.name for path in (tmp_path / "sets/shapes/images").iterdir()] == ["val"]
