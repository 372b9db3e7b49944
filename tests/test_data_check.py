"""A check counts what is in a data set and names every fault by file and line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.checking import contact_sheet, decoding
from segkit.core.data.checking.check import Level, by_kind, check, level_of
from segkit.core.data.checking.histogram_picture import histogram_picture
from segkit.core.data.checking.histograms import areas_of, facts_of
from segkit.core.data.labels import NOTHING, Labels, box_of
from segkit.core.data.problems import Kind
from segkit.core.data.sample import Sample
from segkit.core.errors import SourceError
from segkit.core.rle import encode

TRIANGLE = "0.1 0.1 0.9 0.1 0.5 0.9"
KNOT = "0.1 0.1 0.9 0.9 0.9 0.1 0.1 0.9"


def noise(path, seed, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    cv2.imwrite(str(path), picture)
    return picture


def label(root, name, *rows):
    path = root / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


@pytest.fixture
def data_set(tmp_path):
    """Two good pictures in train, one in val, classes a and b."""
    for seed, name in enumerate(("train/one", "train/two", "val/three")):
        noise(tmp_path / "images" / f"{name}.png", seed)
        label(tmp_path, name, f"0 {TRIANGLE}")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b]\n")
    return tmp_path


def found(root):
    """(kind, file below root, line) of every problem."""
    problems = check(root / "data.yaml").problems
    return [(each.kind, each.path.relative_to(root).as_posix(), each.line) for each in problems]


# -- counts -------------------------------------------------------------------------------------------------------


def test_the_numbers_of_coco128_are_those_of_its_files(data: Path) -> None:
    root = data / "datasets" / "coco128-seg"
    report = check(root / "coco128-seg.yaml")
    rows = [int(line.split()[0]) for path in (root / "labels").rglob("*.txt") for line in path.read_text().splitlines()]
    train, val = report.splits
    assert (train.pictures, train.objects, train.background) == (128, len(rows), 2)
    assert {each.index: each.objects for each in train.classes if each.objects} == Counter(rows)
    assert train.classes == val.classes
    assert sum(train.object_sizes.values()) == sum(train.object_shares.values()) == len(rows)
    assert sum(train.picture_sizes.values()) == 128
    assert [each.kind for each in report.problems if level_of(each) == Level.ERROR] == [Kind.SPLIT_OVERLAP]


def test_sizes_of_a_coco_file_are_the_areas_that_it_says(data: Path) -> None:
    path = next((data / "datasets" / "coco-val100-seg" / "annotations").glob("*.json"))
    areas = [each["area"] for each in json.loads(path.read_text())["annotations"]]
    (facts,) = check(path).splits
    small, large = sum(area < 32**2 for area in areas), sum(area >= 96**2 for area in areas)
    assert facts.object_sizes == {"small": small, "medium": len(areas) - small - large, "large": large}
    assert facts.crowds == 5


def test_a_good_data_set_has_no_problems(data_set):
    report = check(data_set)
    assert report.problems == ()
    assert [(facts.split, facts.pictures, facts.objects) for facts in report.splits] == [("train", 2, 2), ("val", 1, 1)]
    assert report.splits[0].median == (48, 64)
    assert report.usable


def test_the_area_of_an_object_is_that_of_what_is_labelled():
    square = np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]], np.float32)
    mask = encode(np.ones((3, 4), bool), 0, 0, (10, 20))
    labels = Labels.of(
        [0] * 4, [(square,), (), mask, (square,)], [box_of((square,))] * 4, areas=[np.nan, np.nan, np.nan, 7]
    )
    assert areas_of(labels, (10, 20)).tolist() == [50, 50, 12, 7]


def test_an_area_on_the_edge_counts_as_the_larger_one():
    areas = [32**2 - 1, 32**2, 96**2 - 1, 96**2]
    labels = Labels.of([0] * 4, [()] * 4, np.zeros((4, 4)), areas=areas)
    facts = facts_of("train", [Sample(Path("a"), (100, 100), labels, 0, None)], {0: "a"})
    assert facts.object_sizes == {"small": 1, "medium": 2, "large": 1}


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("zero 0.1 0.1 0.9 0.1 0.5 0.9", Kind.MALFORMED),
        ("0 0.1 0.1 0.9 0.1 0.5", Kind.MALFORMED),
        ("0 0.1 0.1 1.9 0.1 0.5 0.9", Kind.OUT_OF_RANGE),
        (f"2 {TRIANGLE}", Kind.BAD_CLASS),
        (f"-1 {TRIANGLE}", Kind.BAD_CLASS),
        ("0 0.1 0.1", Kind.FEW_POINTS),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", Kind.NO_AREA),
        (f"0 {TRIANGLE}", Kind.DUPLICATE_ROW),
        (f"1 {KNOT}", Kind.SELF_INTERSECTION),
        ("1 0.5 0.5 0.2 0.2", Kind.MIXED),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_the_others_count(data_set, row, kind):
    label(data_set, "train/one", f"0 {TRIANGLE}", row, f"1 {TRIANGLE}")
    report = check(data_set / "data.yaml")
    assert found(data_set) == [(kind, "labels/train/one.txt", 2)]
    kept = report.problems[0].dropped is False
    assert report.splits[0].objects == 3 + kept
    assert report.splits[0].dropped == (not kept)
    assert report.errors == (not kept)


def test_a_picture_cut_off_in_the_middle_is_corrupt_and_does_not_count(data_set):
    path = data_set / "images/train/one.png"
    path.write_bytes(path.read_bytes()[:2000])
    report = check(data_set)
    assert found(data_set) == [(Kind.CORRUPT_PICTURE, "images/train/one.png", None)]
    assert (report.splits[0].pictures, report.errors) == (1, 1)


def test_a_picture_that_is_none_is_corrupt(data_set):
    (data_set / "images/train/one.png").write_text("hello")
    assert found(data_set) == [(Kind.CORRUPT_PICTURE, "images/train/one.png", None)]


def test_a_picture_without_labels_is_a_notice_and_background(data_set):
    (data_set / "labels/train/one.txt").unlink()
    report = check(data_set)
    assert found(data_set) == [(Kind.MISSING_LABEL, "images/train/one.png", None)]
    assert report.splits[0].background == 1
    assert report.levels == {Level.ERROR: 0, Level.WARNING: 0, Level.NOTICE: 1}


def test_labels_whose_picture_is_gone_are_unused(data_set):
    (data_set / "images/train/one.png").unlink()
    assert found(data_set) == [(Kind.UNUSED_LABEL, "labels/train/one.txt", None)]


def test_labels_of_a_picture_that_no_split_names_are_no_fault(data_set):
    noise(data_set / "images/train/four.png", 9)
    label(data_set, "train/four", f"0 {TRIANGLE}")
    (data_set / "list.txt").write_text("images/train/one.png\nimages/train/two.png\n")
    (data_set / "data.yaml").write_text("train: list.txt\nval: images/val\nnames: [a, b]\n")
    assert found(data_set) == []


def test_a_list_of_class_names_beside_the_labels_is_no_label_file(data_set):
    (data_set / "labels/train/classes.txt").write_text("a\nb\n")
    assert found(data_set) == []


def test_a_missing_picture_of_a_list_is_named(data_set):
    (data_set / "list.txt").write_text("images/train/one.png\nimages/train/none.png\n")
    (data_set / "data.yaml").write_text("train: list.txt\nval: images/val\nnames: [a, b]\n")
    assert found(data_set) == [(Kind.MISSING_PICTURE, "images/train/none.png", None)]


def test_a_picture_twice_in_one_split_is_told_by_its_pixels(data_set):
    picture = cv2.imread(str(data_set / "images/train/one.png"))
    cv2.imwrite(str(data_set / "images/train/same.bmp"), picture)
    label(data_set, "train/same", f"0 {TRIANGLE}")
    assert found(data_set) == [(Kind.DUPLICATE_PICTURE, "images/train/same.bmp", None)]


def test_a_picture_that_a_list_names_twice_is_told_of(data_set):
    (data_set / "train.txt").write_text("images/train/one.png\n./images/train/one.png\n")
    (data_set / "data.yaml").write_text("train: train.txt\nnames: [a, b]\n")
    assert (Kind.DUPLICATE_PICTURE, "images/train/one.png", None) in found(data_set)


def test_a_copy_in_another_split_is_an_error_and_the_copy_is_named(data_set):
    shutil.copy(data_set / "images/train/one.png", data_set / "images/val/copy.png")
    label(data_set, "val/copy", f"0 {TRIANGLE}")
    report = check(data_set)
    assert found(data_set) == [(Kind.SPLIT_OVERLAP, "images/val/copy.png", None)]
    assert "train/one.png" in report.problems[0].words
    assert report.errors == 1


def test_a_file_in_two_splits_is_told_once_for_all_of_them(data_set):
    (data_set / "data.yaml").write_text("train: images\nval: images/val\ntest: images/train\nnames: [a, b]\n")
    assert found(data_set) == [(Kind.SPLIT_OVERLAP, "data.yaml", None)] * 2
    words = [each.words for each in check(data_set).problems]
    assert words == [
        "1 of the 1 pictures of val are files of train too",
        "2 of the 2 pictures of test are files of train too",
    ]


def test_a_picture_stored_again_in_another_split_is_found_by_its_looks(data_set, bus: Path):
    picture = cv2.imread(str(bus))
    cv2.imwrite(str(data_set / "images/train/bus.png"), picture)
    cv2.imwrite(str(data_set / "images/val/again.jpg"), cv2.resize(picture, None, fx=0.5, fy=0.5))
    for name in ("train/bus", "val/again"):
        label(data_set, name, f"0 {TRIANGLE}")
    assert found(data_set) == [(Kind.DUPLICATE_PICTURE, "images/val/again.jpg", None)]


def test_a_split_that_leads_nowhere_is_a_problem_of_the_description(data_set):
    (data_set / "data.yaml").write_text("train: images/train\nval: images/none\nnames: [a, b]\n")
    report = check(data_set)
    assert found(data_set) == [(Kind.MISSING_PICTURE, "data.yaml", None)]
    assert "'val'" in report.problems[0].words
    assert [facts.split for facts in report.splits] == ["train"]


def test_a_data_set_without_any_picture_is_refused(data_set):
    shutil.rmtree(data_set / "images")
    with pytest.raises(SourceError, match="images/train"):
        check(data_set)


def test_all_faults_at_once_are_listed_by_kind_errors_first(data_set):
    label(data_set, "train/one", f"7 {TRIANGLE}", f"0 {KNOT}", "x")
    (data_set / "labels/train/two.txt").unlink()
    kinds = [kind for kind, _ in by_kind(check(data_set).problems)]
    assert kinds == [Kind.MALFORMED, Kind.BAD_CLASS, Kind.SELF_INTERSECTION, Kind.MISSING_LABEL]


def test_a_data_set_of_bad_rows_alone_is_told_and_of_no_use(data_set):
    for name in ("train/one", "train/two", "val/three"):
        label(data_set, name, f"9 {TRIANGLE}")
    report = check(data_set)
    assert [each.kind for each in report.problems] == [Kind.BAD_CLASS] * 3
    assert not report.usable


def test_no_picture_is_decoded_twice(data_set, monkeypatch):
    (data_set / "data.yaml").write_text("train: images\nval: images/val\ntest: images/train\nnames: [a, b]\n")
    seen = Counter()
    real = decoding.read_picture

    def counted(path):
        seen[Path(path).name] += 1
        return real(path)

    monkeypatch.setattr(decoding, "read_picture", counted)
    check(data_set)
    assert seen == {"one.png": 1, "two.png": 1, "three.png": 1}


def test_labels_that_all_have_another_name_than_their_pictures_are_unused(data_set):
    for path in (data_set / "labels/train").iterdir():
        path.rename(path.with_stem(f"{path.stem}_seg"))
    kinds = Counter(kind for kind, _, _ in found(data_set))
    assert kinds == {Kind.MISSING_LABEL: 2, Kind.UNUSED_LABEL: 2}


def test_label_files_beside_a_coco_file_are_not_missed_by_it(data_set):
    square = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    square["segmentation"] = [[1, 1, 10, 1, 10, 10, 1, 10]]
    coco = {
        "images": [{"id": 1, "file_name": "train/one.png", "width": 64, "height": 48}],
        "annotations": [square],
        "categories": [{"id": 1, "name": "a"}],
    }
    (data_set / "images" / "instances.json").write_text(json.dumps(coco))
    report = check(data_set / "images" / "instances.json")
    assert report.problems == ()
    assert report.splits[0].object_sizes == {"small": 1, "medium": 0, "large": 0}


# -- pictures -----------------------------------------------------------------------------------------------------


def samples_of(classes):
    return [
        Sample(Path(str(i)), (10, 10), Labels.of(each, [()] * len(each), np.zeros((len(each), 4))), i, None)
        for i, each in enumerate(classes)
    ]


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=30))
def test_a_sheet_shows_every_class_and_no_picture_twice(classes):
    chosen = contact_sheet.choose(samples_of(classes))
    assert {i for each in classes for i in each} == {i for each in chosen for i in each.labels.classes.tolist()}
    assert len({each.path for each in chosen}) == len(chosen) >= min(len(classes), contact_sheet.LEAST)


def test_a_sheet_is_bounded_however_many_classes_there_are():
    assert len(contact_sheet.choose(samples_of([[i] for i in range(200)]))) == contact_sheet.MOST


def test_the_sheet_of_a_check_has_a_cell_for_each_sample_but_not_for_corrupt_ones(data_set):
    path = data_set / "images/train/one.png"
    path.write_bytes(path.read_bytes()[:2000])
    report = check(data_set)
    assert [text for text, _, _ in report.cells] == ["train: two.png", "val: three.png"]
    page = contact_sheet.sheet(report.cells, report.names)
    assert page.shape == (contact_sheet.SIDE + 34, 2 * contact_sheet.SIDE + 24, 3)


def test_histograms_are_drawn_for_one_split_and_for_three_and_for_nothing_at_all():
    one = facts_of("train", samples_of([[0, 1], [0]]), {0: "a", 1: "b"})
    nothing = facts_of("val", [Sample(Path("a"), (10, 10), NOTHING, 0, None)], {0: "a", 1: "b"})
    heights = [histogram_picture(splits).shape[0] for splits in ([one], [one, nothing, one], [nothing])]
    assert heights[0] < heights[1]
    assert (histogram_picture([one]) != 255).any()
