"""A data set is opened whole: pictures, sizes, labels, names; and a fault in it costs that row or picture, no more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.dataset import open_dataset, scan_dataset
from segkit.core.data.problems import Kind
from segkit.core.data.reading.header import size_of
from segkit.core.errors import OptionError, SourceError
from segkit.core.images.reading import read_picture

SQUARE = "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


@pytest.fixture
def data_set(tmp_path):
    """Three pictures of 8 by 16: two objects in a, one in b, nothing in c."""
    for name in "abc":
        picture(tmp_path / f"images/{name}.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(f"0 {SQUARE}\n1 .5 .5 .5 .5\n")
    (tmp_path / "labels/b.txt").write_text(f"1 {SQUARE}\n")
    (tmp_path / "labels/c.txt").write_text("")
    (tmp_path / "data.yaml").write_text("val: images\nnames: [x, y]\n")
    return tmp_path


def picture(path, size=(8, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


def opened(folder, text=None, split="val", **options):
    if text:
        (folder / "data.yaml").write_text(text)
    return open_dataset(folder / "data.yaml", split, cache=False, **options)


def names_of(found):
    return [sample.path.name for sample in found]


def refusal(data, *arguments, **options):
    with pytest.raises(SourceError) as caught:
        open_dataset(data, *arguments, cache=False, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("folder", "split", "pictures", "rows", "unlabelled"),
    [
        ("coco128-seg", "train", 128, 929, 2),
        ("coco128-seg", "val", 128, 929, 2),
        ("coco-val100-seg", "val", 100, 707, 0),
        ("rooms-mini-seg", "train", 122, 3032, 0),
        ("rooms-mini-seg", "val", 32, 842, 0),
    ],
)
def test_real_sets_are_read_whole(data, folder, split, pictures, rows, unlabelled):
    found = open_dataset(data / "datasets" / folder, split, cache=False)
    assert (len(found), sum(len(sample.labels) for sample in found)) == (pictures, rows)
    assert sum(sample.label is None for sample in found) == unlabelled
    kinds = [problem.kind for problem in found.problems if problem.kind != Kind.MIXED]
    assert kinds == [Kind.MISSING_LABEL] * unlabelled
    assert sum(sample.dropped for sample in found) == 0
    assert all(sample.size == read_picture(sample.path).shape[:2] for sample in found[:20])


def test_real_pictures_are_known_by_coco_s_numbers_and_classes(data):
    found = open_dataset(data / "datasets/coco128-seg/coco128-seg.yaml", cache=False)
    assert (found[0].image_id, found.split, found.names[79]) == (9, "val", "toothbrush")
    assert (found.category_ids[0], found.category_ids[79]) == (1, 90)
    assert found.source == data / "datasets/coco128-seg/coco128-seg.yaml"
    rooms = open_dataset(data / "datasets/rooms-mini-seg", cache=False)
    assert rooms.category_ids is None
    assert rooms[0].image_id == rooms[0].path.stem


def test_a_picture_has_its_size_labels_and_label_file(data_set):
    found = opened(data_set)
    assert [sample.size for sample in found] == [(8, 16)] * 3
    assert [sample.labels.classes.tolist() for sample in found] == [[0, 1], [1], []]
    assert found[0].label == data_set / "labels/a.txt"
    assert (found[0].labels.shapes[0][0].shape, found[0].labels.shapes[1]) == ((4, 2), ())
    assert [problem.kind for problem in found.problems] == [Kind.MIXED]
    assert found.names == {0: "x", 1: "y"}


def test_a_folder_with_one_description_stands_for_it(data_set):
    assert len(open_dataset(data_set, cache=False)) == 3
    (data_set / "other.yml").write_text("val: images\nnames: [x]\n")
    assert "several data sets, give one: data.yaml, other.yml" in refusal(data_set)


def test_a_split_is_a_list_with_lists_patterns_and_missing_pictures(data_set):
    (data_set / "lists").mkdir()
    (data_set / "lists/inner.txt").write_text("../images/b.png\n")
    (data_set / "val.txt").write_text(
        f"# all\n./images/c.png\n\nlists/inner.txt\n{data_set / 'images/a.png'}\nimages/d.png\n"
    )
    found = opened(data_set, "val: val.txt\ntrain: [images/a.png, 'images/[bc].png']\nnames: [x, y]\n")
    assert names_of(found) == ["c.png", "b.png", "a.png"]
    missing = [problem for problem in found.problems if problem.kind == Kind.MISSING_PICTURE]
    assert [problem.path for problem in missing] == [data_set / "images/d.png"]
    assert names_of(opened(data_set, split="train")) == ["a.png", "b.png", "c.png"]


def test_a_list_from_windows_is_understood(data_set):
    (data_set / "list.txt").write_bytes(b"images\\a.png\r\n.\\images\\b.png\r\n")
    found = opened(data_set, "val: list.txt\nnames: [x, y]\n")
    assert [(sample.path, sample.label is not None) for sample in found] == [
        (data_set / "images/a.png", True),
        (data_set / "images/b.png", True),
    ]


def test_a_list_that_holds_itself_is_one_clear_line(data_set):
    (data_set / "val.txt").write_text("other.txt\n")
    (data_set / "other.txt").write_text("images/a.png\nval.txt\n")
    (data_set / "data.yaml").write_text("val: val.txt\nnames: [x, y]\n")
    assert "the list holds itself" in refusal(data_set)


def test_pictures_of_subfolders_and_without_a_suffix_count_and_hidden_ones_do_not(data_set):
    picture(data_set / "images/deep/er/d.jpg")
    picture(data_set / "images/._a.png")
    (data_set / "images/notes.md").write_text("no picture")
    (data_set / "images/b.png").rename(data_set / "images/bare")
    (data_set / "labels/deep/er").mkdir(parents=True)
    (data_set / "labels/deep/er/d.txt").write_text(f"1 {SQUARE}\n")
    (data_set / "labels/bare.txt").write_text(f"0 {SQUARE}\n")
    found = opened(data_set)
    assert names_of(found) == ["a.png", "bare", "c.png", "d.jpg"]
    assert [len(sample.labels) for sample in found] == [2, 1, 0, 1]


def test_a_link_that_leads_back_is_not_followed_and_others_are(data_set, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    picture(elsewhere / "d.png")
    (data_set / "images/more").symlink_to(elsewhere)
    (data_set / "images/again").symlink_to(".")
    (elsewhere / "back").symlink_to(data_set / "images")
    assert names_of(opened(data_set)) == ["a.png", "b.png", "c.png", "d.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")
def test_a_pipe_is_no_picture_and_is_not_waited_for(data_set):
    os.mkfifo(data_set / "images/d.png")
    found = opened(data_set)
    assert names_of(found) == ["a.png", "b.png", "c.png"]
    assert (Kind.CORRUPT_PICTURE, "it is no file") in [(each.kind, each.words) for each in found.problems]


def test_sizes_are_those_of_the_decoded_pictures_whatever_their_kind(data):
    for path in sorted((data / "odd").iterdir()):
        expected = size_or_fault(lambda path: read_picture(path).shape[:2], path)
        if isinstance(expected, tuple) or path.suffix == ".jpg":  # others show a missing end only when they are decoded
            assert size_or_fault(size_of, path) == expected, path.name


def size_or_fault(read, path):
    try:
        return read(path)
    except SourceError as error:
        return error.problem


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_sides_of_a_picture_that_was_turned_are_swapped(tmp_path, turn):
    from PIL import Image

    image = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[274] = turn
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        image.save(tmp_path / name, exif=exif)
        assert size_of(tmp_path / name) == read_picture(tmp_path / name).shape[:2], name
    assert size_of(tmp_path / "a.jpg") == ((30, 20) if turn > 4 else (20, 30))


def test_a_jpeg_with_something_behind_its_end_or_a_long_header_is_whole(tmp_path, bus):
    whole = bus.read_bytes()
    for name, data in {
        "note.jpg": whole + b"\0" * 3000,
        "film.jpg": whole + bytes(range(200)) * 1000,
        "filled.jpg": whole[:2] + b"\xff" * 7 + whole[2:],
        "profile.jpg": whole[:2] + (b"\xff\xe2" + (65000).to_bytes(2, "big") + bytes(64998)) * 5 + whole[2:],
    }.items():
        (tmp_path / name).write_bytes(data)
        assert size_of(tmp_path / name) == read_picture(bus).shape[:2], name
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cut off"):
        size_of(tmp_path / "cut.jpg")


@given(st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255)), max_size=20), st.integers(300, 900))
def test_whatever_is_in_a_header_a_picture_has_its_size_or_a_fault(tmp_path_factory, changes, length):
    _, coded = cv2.imencode(".jpg", np.zeros((8, 16, 3), np.uint8))
    data = bytearray(coded.tobytes()[:length])
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.jpg"
    path.write_bytes(data)
    whole = size_or_fault(lambda path: read_picture(path).shape[:2], path)
    found = size_or_fault(size_of, path)
    assert found == whole or isinstance(whole, str)


def test_a_corrupt_picture_is_left_out_and_named(data_set):
    (data_set / "images/a.png").write_bytes(b"no picture")
    found = opened(data_set)
    assert names_of(found) == ["b.png", "c.png"]
    (problem,) = [problem for problem in found.problems if problem.dropped]
    assert (problem.kind, problem.path) == (Kind.CORRUPT_PICTURE, data_set / "images/a.png")


def test_rows_that_were_left_out_are_counted(data_set):
    (data_set / "labels/b.txt").write_text(f"7 {SQUARE}\n1 {SQUARE}\n1 {SQUARE}\n0 5 5 5 5 5 5\n")
    found = opened(data_set)
    assert (found[1].dropped, len(found[1].labels)) == (3, 1)
    assert [problem.line for problem in found.problems if problem.path.name == "b.txt"] == [1, 3, 4]


def test_a_missing_label_is_a_background_picture_and_told_of(data_set):
    (data_set / "labels/b.txt").unlink()
    found = opened(data_set)
    assert (found[1].label, len(found[1].labels)) == (None, 0)
    problem = next(problem for problem in found.problems if problem.kind == Kind.MISSING_LABEL)
    assert (problem.path, problem.dropped) == (data_set / "images/b.png", False)
    assert str(data_set / "labels/b.txt") in problem.words


def test_an_unreadable_label_file_is_told_of(data_set):
    (data_set / "labels/b.txt").write_bytes(b"\x80\x81")
    (data_set / "labels/c.txt").unlink()
    (data_set / "labels/c.txt").mkdir()
    found = opened(data_set)
    assert [p.path.name for p in found.problems if p.kind == Kind.UNREADABLE_LABEL] == ["b.txt", "c.txt"]
    assert len(found) == 3


def test_all_classes_may_be_taken_as_one_or_some_be_chosen(data_set):
    found = opened(data_set, single_cls=True)
    assert found.names == {0: "item"}
    assert [sample.labels.classes.tolist() for sample in found] == [[0, 0], [0], []]
    found = opened(data_set, classes=[0])
    assert [sample.labels.classes.tolist() for sample in found] == [[0], [], []]
    assert found.names == {0: "x", 1: "y"}
    found = opened(data_set, classes=[1], single_cls=True)
    assert [sample.labels.classes.tolist() for sample in found] == [[0], [0], []]
    with pytest.raises(OptionError, match="has the classes 0 to 1"):
        opened(data_set, classes=[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "it is no description of a data set"),
        ("val: images\n", "it names no classes"),
        ("val: pictures\nnames: [x]\n", "which is not there"),
        ("train: images\nnames: [x, y]\n", "the data set has no split 'val'; it has train"),
        ("val: empty\nnames: [x]\n", "its split 'val' has no pictures"),
        ("val: 'images/*.bmp'\nnames: [x]\n", "its split 'val' has no pictures"),
    ],
)
def test_a_description_that_leads_to_nothing_is_one_clear_line(data_set, text, words):
    (data_set / "empty").mkdir()
    (data_set / "data.yaml").write_text(text)
    assert words in refusal(data_set / "data.yaml")


def test_a_set_that_is_not_there_is_one_clear_line(tmp_path):
    assert "no.yaml" in refusal(tmp_path / "no.yaml")
    assert "holds no data.yaml" in refusal(tmp_path)
    (tmp_path / "bus.jpg").write_bytes(b"")
    assert "a data set is a data.yaml" in refusal(tmp_path / "bus.jpg")


def test_a_set_of_which_nothing_can_be_used_is_one_clear_line_and_can_be_looked_into(data_set):
    for name in "abc":
        (data_set / f"labels/{name}.txt").write_text(f"5 {SQUARE}\n")
    words = refusal(data_set)
    assert "all 3 rows of its labels are bad; the first problem: " in words
    assert f"a.txt:1: {Kind.BAD_CLASS}: class 5; there are 0 to 1" in words
    assert refusal(data_set, classes=[0]) == words
    assert len(scan_dataset(data_set, cache=False).problems) == 3
    shutil.rmtree(data_set / "labels")
    assert "no picture of its split 'val' has a label file" in refusal(data_set)
    for name in "abc":
        (data_set / f"images/{name}.png").write_bytes(b"")
    words = refusal(data_set)
    assert "none of the pictures of its split 'val' can be used" in words
    assert "the file is empty" in words


def test_pictures_without_objects_are_a_set_as_long_as_their_files_say_so(data_set):
    for name in "abc":
        (data_set / f"labels/{name}.txt").write_text("")
    assert [len(sample.labels) for sample in opened(data_set)] == [0, 0, 0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may read everything")
def test_a_folder_that_must_not_be_opened_is_one_clear_line(data_set):
    (data_set / "images").chmod(0)
    try:
        assert "permission denied" in refusal(data_set)
    finally:
        (data_set / "images").chmod(0o755)


def test_a_sample_is_light_and_pictures_may_be_sliced(data_set):
    found = opened(data_set)
    assert names_of(found[1:]) == ["b.png", "c.png"]
    assert found[-1].path.name == "c.png"
    assert [sample.path for sample in found] == [Path(data_set / f"images/{name}.png") for name in "abc"]
