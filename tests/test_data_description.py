"""A data set's description is read as it is widely written, and told what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.description import is_description, read_description
from segkit.core.errors import SourceError
from segkit.core.images.sources import open_sources


@pytest.fixture
def data_set(tmp_path):
    """Pictures in train/images (a subfolder too), val and one in a list; labels beside them."""
    for name in ("train/images/a.png", "train/images/more/b.png", "val/c.png", "single/d.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "train/labels").mkdir()
    (tmp_path / "train/labels/a.txt").write_text("0 0 0 1 0 1 1\n")
    (tmp_path / "list.txt").write_text("./single/d.png\n./val/c.png\n")
    return tmp_path


def write(folder, text):
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder / "data.yaml"


def names_of(sources):
    return [Path(item.path).name for item in open_sources(sources)]


def test_the_data_sets_at_hand_are_read(data):
    for name, classes, split, count in (("coco128", 80, "val", 128), ("coco-val100", 80, "train", 100)):
        found = read_description(data / "datasets" / f"{name}-seg" / f"{name}-seg.yaml")
        assert len(found.names) == classes
        assert len(names_of(found.sources(split))) == count
    rooms = read_description(data / "datasets" / "rooms-mini-seg" / "rooms-mini-seg.yaml")
    assert (rooms.names[3], [*rooms.splits]) == ("ROOM", ["train", "val"])
    assert (len(names_of(rooms.sources("train"))), len(names_of(rooms.sources("val")))) == (122, 32)


def test_a_split_is_a_folder_with_subfolders_a_list_a_pattern_or_several(data_set):
    found = read_description(
        write(data_set, "train: train/images\nval: list.txt\ntest: [val, 'single/*.png']\nnames: [a, b]\n")
    )
    assert names_of(found.sources("train")) == ["a.png", "b.png"]
    assert names_of(found.sources("val")) == ["d.png", "c.png"]
    assert names_of(found.sources("test")) == ["c.png", "d.png"]
    assert dict(found.names) == {0: "a", 1: "b"}


def test_the_path_is_relative_to_the_file_or_absolute(data_set, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for folder, path in ((data_set, "."), (data_set / "train", ".."), (elsewhere, str(data_set))):
        found = read_description(write(folder, f"path: {path}\nval: val\nnames: {{0: a}}\n"))
        assert names_of(found.sources("val")) == ["c.png"]
        assert found.root.resolve() == data_set.resolve()


def test_paths_that_a_labelling_service_writes_are_found(data_set):
    found = read_description(write(data_set, "train: ../train/images\nval: ../val\nnc: 1\nnames: ['a']\n"))
    assert names_of(found.sources("val")) == ["c.png"]


def test_a_folder_with_signs_of_a_pattern_in_its_name_is_that_folder(data_set):
    (data_set / "val").rename(data_set / "val[1]")
    assert names_of(read_description(write(data_set, "val: 'val[1]'\nnames: [a]\n")).sources("val")) == ["c.png"]


def test_names_stay_texts_and_unknown_keys_are_left_alone(data_set):
    text = "val: val\nnames: {0: no, 1: 1:30, 2: 007, 3: 'ünï'}\ndownload: |\n  import os\n  os.abort()\n"
    assert [*read_description(write(data_set, text)).names.values()] == ["no", "1:30", "007", "ünï"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is no description of a data set"),
        ("- a\n- b\n", "it is no description of a data set"),
        ("{a: [", "it is not YAML"),
        ("names: [a]\n", "it names no pictures"),
        ("val: val\n", "it names no classes"),
        ("val: val\nnames: {0: a, 2: b}\n", "without a gap"),
        ("val: val\nnames: {a: b}\n", "by class index"),
        ("val: val\nnames: [[a]]\n", "its names must be"),
        ("val: val\nnames: a\n", "its names must be"),
        ("val: val\nnc: 3\nnames: [a]\n", "it has 1 names, but nc says '3'"),
        ("val: {a: b}\nnames: [a]\n", "its split 'val' must be a path or a list of paths"),
        ("path: nowhere\nval: val\nnames: [a]\n", "nowhere', which is no folder"),
        ("path: [a]\nval: val\nnames: [a]\n", "its path must be one folder"),
        ("val: &a [*a]\nnames: [a]\n", "aliases or nests too deeply"),
        ("val: " + "[" * 50 + "]" * 50 + "\nnames: [a]\n", "aliases or nests too deeply"),
        ("val: val\nnames: [a]\nx: " + "y" * (1 << 20), "too large"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(data_set, text, problem):
    with pytest.raises(SourceError) as refusal:
        read_description(write(data_set, text))
    assert problem in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_split_that_leads_nowhere_is_told_when_it_is_wanted(data_set):
    found = read_description(write(data_set, "train: gone\nval: val\nnames: [a]\n"))
    with pytest.raises(SourceError, match=r"its split 'train' leads to '.*gone', which is not there"):
        found.sources("train")
    with pytest.raises(SourceError, match="no split 'test'; it has train, val"):
        found.sources("test")
    assert names_of(found.sources("val")) == ["c.png"]


def test_a_file_that_is_not_there_is_told_with_the_one_that_may_be_meant(data_set):
    write(data_set, "val: val\nnames: [a]\n")
    with pytest.raises(SourceError, match=r"no such description of a data set. Did you mean 'data.yaml'\?"):
        read_description(data_set / "dta.yaml")
    with pytest.raises(SourceError, match="directory"):
        read_description(data_set)


def test_a_description_is_known_by_its_suffix():
    assert [is_description(source) for source in ("a.yaml", Path("b.YML"), "c.txt", "folder", 3, ["a.yaml"])] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@given(st.binary(max_size=200) | st.recursive(st.text(max_size=8) | st.none(), lambda x: st.lists(x, max_size=3)))
def test_any_content_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(
        content if isinstance(content, bytes) else yaml.safe_dump({"val": content, "names": content}).encode()
    )
    try:
        problem = "" if read_description(path).splits else "nothing"
    except SourceError as refusal:
        problem = str(refusal).removeprefix(f"Cannot read '{path}': ")
    assert problem != "nothing"
    assert "\n" not in problem


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "x" * 5000], ids=["nobody", "long"])
def test_a_place_that_cannot_exist_is_told(tmp_path, place):
    with pytest.raises(SourceError, match="its path leads nowhere"):
        read_description(write(tmp_path, f"path: {place}\ntrain: a\nnames: [a]\n"))
    with pytest.raises(SourceError, match="its split 'train' leads nowhere"):
        read_description(write(tmp_path, f"train: {place}\nnames: [a]\n")).sources("train")
    with pytest.raises(SourceError):
        read_description(f"{place}.yaml")


def test_one_class_named_twice_is_told(tmp_path):
    with pytest.raises(SourceError, match="without a gap"):
        read_description(write(tmp_path, "train: .\nnames: {0: a, 00: b}\n"))
