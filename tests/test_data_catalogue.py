"""Data sets by name: what the catalogue knows, and where a name is looked for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from segkit import YOLO
from segkit.core.backend.metadata import Metadata, Seal, data_name
from segkit.core.data.describing import description_text
from segkit.core.data.description import read_description
from segkit.core.data.named.catalogue import entries, entry, find, home, locate
from segkit.core.data.named.coco_classes import CATEGORY_IDS, NAMES
from segkit.core.errors import SourceError
from segkit.core.model import read_checkpoint
from segkit.plugins.pytorch.predictor import read_metadata


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and cache, and no SEGKIT_DATASETS."""
    for name in ("SEGKIT_DATASETS", "SEGKIT_OFFLINE", "SEGKIT_DATASETS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def put(path: Path, text: str = "train: images\nnames: [a]\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(data: str | Path) -> str:
    with pytest.raises(SourceError) as caught:
        locate(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the table ----------------------------------------------------------------------------------------------------


def test_the_classes_of_coco_are_those_of_its_own_file(data: Path) -> None:
    own = json.loads((data / "datasets/coco128-seg/annotations/instances_train2017.json").read_text())["categories"]
    assert [(each["id"], each["name"]) for each in own] == list(zip(CATEGORY_IDS, NAMES, strict=True))


def test_the_classes_of_coco_are_those_of_published_descriptions(data: Path) -> None:
    description = read_description(data / "datasets/coco128-seg/coco128-seg.yaml")
    assert tuple(description.names.values()) == NAMES


@pytest.mark.parametrize("each", entries(), ids=lambda each: each.name)
def test_every_data_set_says_what_a_user_should_know(each) -> None:
    assert each.licence
    assert each.source
    assert each.count > 0
    assert each.bytes > 0
    assert len(set(each.names)) == len(each.names) > 1
    assert set(each.pictures) == set(each.splits) == {"train", "val"}
    covered = {split for part in each.parts for split in part.splits}
    assert not each.parts or covered == set(each.splits)


def test_a_name_is_known_with_and_without_its_suffix() -> None:
    assert entry("coco") is entry("coco.yaml")
    with pytest.raises(SourceError, match=r"known are coco\.yaml, .*; the nearest is 'coco8-seg\.yaml'"):
        entry("coco8seg.yaml")


def test_a_written_description_is_read_back_whatever_the_names(tmp_path: Path) -> None:
    names = ("person", "no", "1:30", "a: b", "#x", "चित्र", 'say "hi"', "null", " led ")
    path = put(tmp_path / "x.yaml", description_text({"train": "images/a b"}, names, ("two\nlines",)))
    read = read_description(path)
    assert tuple(read.names.values()) == names
    assert read.splits == {"train": ("images/a b",)}


# -- where it is looked for ---------------------------------------------------------------------------------------


def test_what_exists_is_given_back_as_it_is(work: Path) -> None:
    put(work / "coco8-seg.yaml")
    assert locate("coco8-seg.yaml") == Path("coco8-seg.yaml")
    assert locate(work) == work
    assert locate(".") == Path()


@pytest.mark.parametrize("place", ["coco8-seg/coco8-seg.yaml", "coco8-seg.yaml", "coco8-seg/data.yaml"])
@pytest.mark.parametrize("name", ["coco8-seg.yaml", "coco8-seg"])
def test_a_folder_of_data_sets_may_be_laid_out_in_three_ways(
    place: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path / "sets"))
    path = put(tmp_path / "sets" / place)
    assert locate(name) == path


def test_the_users_folders_come_first_then_the_working_folder_then_the_cache(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = put(tmp_path / "cache/datasets/coco8-seg/coco8-seg.yaml")
    assert locate("coco8-seg.yaml") == cached
    put(work / "datasets/coco8-seg/coco8-seg.yaml")
    assert locate("coco8-seg.yaml") == Path("datasets/coco8-seg/coco8-seg.yaml")
    second = put(tmp_path / "two/coco8-seg/coco8-seg.yaml")
    monkeypatch.setenv("SEGKIT_DATASETS", os.pathsep.join([str(tmp_path / "one"), "", str(tmp_path / "two")]))
    assert locate("coco8-seg.yaml") == second
    first = put(tmp_path / "one/coco8-seg.yaml")
    assert locate("coco8-seg.yaml") == first
    assert home() == tmp_path / "one"


def test_names_of_ones_own_data_sets_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path))
    path = put(tmp_path / "rooms/data.yaml")
    assert locate("rooms.yaml") == path


def test_a_missing_one_says_where_was_looked_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path / "sets"))
    words = refused("coco.yaml")
    assert str(tmp_path / "sets") in words
    assert str(tmp_path / "cache" / "datasets") in words
    assert (
        "run segkit data get coco.yaml (20.4 GB; with --split val 1.1 GB), or set SEGKIT_DATASETS to the folder"
        in words
    )
    assert "segkit data get shapes.yaml generates it" in refused("shapes")
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    assert "SEGKIT_OFFLINE forbids to download it; set SEGKIT_DATASETS" in refused("coco.yaml")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("coco182-seg.yaml", "; the nearest is 'coco128-seg.yaml'."),
        ("sets/coco.yaml", "there is no such file or folder; 'coco.yaml' alone means the data set of that name."),
        ("sets/mine.yaml", "there is no such file or folder."),
        ("", "there is no such file or folder."),
        ("nul\0", "there is no such file or folder"),
        ("x" * 5000, "there is no such file or folder"),
        ("~nobody-of-that-name/data.yaml", "there is no such file or folder."),
        ("https://me:secret@host/data.yaml", "'https://***@host/data.yaml': a data set is not read from an address"),
    ],
)
def test_what_is_nowhere_is_one_clear_line(given: str, words: str) -> None:
    assert words in refused(given)


def test_a_slip_in_a_path_is_answered_with_what_is_there(work: Path) -> None:
    put(work / "sets/rooms.yaml")
    assert refused("sets/room.yaml").endswith("there is no such file or folder; the nearest is 'rooms.yaml'.")


def test_scripts_in_a_description_are_left_alone(work: Path) -> None:
    path = put(work / "mine.yaml", "train: .\nnames: [a]\ndownload: |\n  import os; os.mkdir('ran')\n")
    assert locate("mine") == Path("mine.yaml")
    assert "train" in read_description(path).splits
    assert not (work / "ran").exists()


def test_real_folders_of_data_sets_are_searched(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS", str(data / "datasets"))
    assert find("coco128-seg.yaml") == data / "datasets/coco128-seg/coco128-seg.yaml"
    assert locate("rooms-mini-seg") == data / "datasets/rooms-mini-seg/rooms-mini-seg.yaml"


# -- what a model remembers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("coco.yaml", "coco.yaml"),
        ("/home/somebody/sets/coco128-seg.yaml", "coco128-seg.yaml"),
        ("C:\\Users\\somebody\\my set.yaml", "my set.yaml"),
        ("./a/b/", "b"),
        ("https://host/x.yaml?token=1", "x.yaml"),
        ("..", None),
        ("C:", None),
        ("", None),
        ("a\nb.yaml", None),
        ("x" * 300, None),
        (None, None),
        (["a.yaml"], None),
    ],
)
def test_a_remembered_data_set_is_a_name(given: object, name: str | None) -> None:
    assert data_name(given) == name
    assert Metadata(segkit=Seal(data=given)).data == name  # type: ignore[arg-type] # as a file of anybody may have it


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("yolov8n-seg.pt", "coco.yaml"),
        ("coco8_1ep_v8.0.40.best.pt", "coco8-seg.yaml"),
        ("coco8_1ep_v8.3.0.best.pt", "coco8-seg.yaml"),
        ("coco8_3ep_v8.4.190.best.pt", "coco8-seg.yaml"),
    ],
)
def test_checkpoints_of_every_trainer_remember_their_data_set(data: Path, file: str, name: str) -> None:
    path = data / "checkpoints" / file
    assert read_metadata(path).data == name
    assert read_checkpoint(path).train_args["data"] == name


def test_metadata_keeps_it_through_every_carrier_and_is_silent_without_it() -> None:
    known, unknown = Metadata(segkit=Seal(data="coco.yaml")), Metadata(segkit=Seal())
    assert Metadata.parse(known.to_text(), "x").data == "coco.yaml"
    assert Metadata.parse(known.to_plain(), "x").data == "coco.yaml"
    assert "data" not in unknown.to_plain()["segkit"]
    assert Metadata.parse({"names": "{0: 'a'}"}, "x").data is None


def test_an_export_remembers_what_its_weights_remember(n_seg_pt: Path, tmp_path: Path) -> None:
    made = YOLO(n_seg_pt).export_to("torchscript", output=tmp_path / "n.torchscript", imgsz=64, isolate=False)
    assert made.metadata.data == "coco.yaml"
    read = YOLO(made.path).info()
    assert isinstance(read, Metadata)
    assert read.data == "coco.yaml"
