"""A data set is divided fairly, look-alikes to one side, and the same way each time."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segkit.core.data.checking import likeness
from segkit.core.data.checking.check import check
from segkit.core.data.checking.decoding import Look, look_at
from segkit.core.data.checking.likeness import CLOSE, SAME, alike
from segkit.core.data.dataset import open_dataset
from segkit.core.data.description import read_description
from segkit.core.data.dividing.assigning import assign
from segkit.core.data.dividing.writing import split_dataset
from segkit.core.errors import OptionError, OutputError, SourceError

TRIANGLE = "0.1 0.1 0.9 0.1 0.5 0.9"


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (32, 32, 3)).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures in images, two folders of them; class 1 in every fifth, class 2 in two, three without objects."""
    root = tmp_path / "set"
    for i in range(20):
        name = f"{'a' if i < 10 else 'b'}/{i:02d}"
        picture(root / "images" / f"{name}.png", i)
        classes = [0] * (i % 7 != 6) + [1] * (i % 5 == 0) + [2] * (i in (3, 14))
        label = root / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(f"{index} {TRIANGLE}\n" for index in classes))
    return root


def stems(description, split):
    return [sample.path.stem for sample in open_dataset(description, split, cache=False)]


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# -- who goes where -----------------------------------------------------------------------------------------------

groups_of_classes = st.lists(st.frozensets(st.integers(0, 8), max_size=4), min_size=2, max_size=60)
divisions = st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.2, 0.1), (0.9, 0.1)])


@given(groups_of_classes, divisions, st.integers(0, 3))
@example([frozenset({0, 1}), frozenset({0, 1, 2}), frozenset({0, 2, 3})], (0.7, 0.2, 0.1), 0)
def test_every_class_of_two_pictures_is_in_training_and_no_split_is_empty(classes, shares, seed):
    places = assign(classes, [1] * len(classes), shares, seed)
    counts = Counter(index for each in classes for index in each)
    trained = {index for each, place in zip(classes, places, strict=True) for index in each if place == 0}
    lost = {index for index, count in counts.items() if count > 1} - trained
    # Three pictures with three classes in two of them each cannot fill three splits: one class is not in training then.
    assert not lost or min(places.count(split) for split in range(1, len(shares))) == 1
    assert not lost or len(shares) > 2
    assert set(places) == set(range(min(len(shares), len(classes))))


@given(groups_of_classes, divisions, st.integers(0, 3))
def test_the_same_seed_gives_the_same_division(classes, shares, seed):
    sizes = [1 + i % 3 for i in range(len(classes))]
    assert assign(classes, sizes, shares, seed) == assign(classes, sizes, shares, seed)


@given(st.lists(st.frozensets(st.integers(0, 2), max_size=2), min_size=20, max_size=60), divisions)
def test_sizes_are_those_asked_for_where_classes_leave_the_choice(classes, shares):
    places = assign(classes, [1] * len(classes), shares)
    for split in range(1, len(shares)):
        assert places.count(split) == round(len(classes) * shares[split])


def test_every_class_is_in_validation_where_there_is_room():
    classes = [{i // 2} for i in range(40)]
    places = assign(classes, [1] * 40, (0.5, 0.5))
    for index in range(20):
        assert sorted(places[2 * index : 2 * index + 2]) == [0, 1]


def test_a_frequent_class_is_shared_out_as_the_pictures_are():
    classes = [{0} if i % 4 else {0, 1} for i in range(400)]
    places = assign(classes, [1] * 400, (0.7, 0.2, 0.1))
    assert Counter(places[::4]) == {0: 70, 1: 20, 2: 10}


def test_another_seed_gives_another_division():
    classes = [{i % 3} for i in range(30)]
    assert len({tuple(assign(classes, [1] * 30, (0.8, 0.2), seed)) for seed in range(5)}) > 1


def test_a_group_counts_with_all_its_pictures():
    places = assign([{0}] * 11, [10] + [1] * 10, (0.5, 0.5))
    sizes = Counter()
    for place, size in zip(places, [10] + [1] * 10, strict=True):
        sizes[place] += size
    assert set(sizes.values()) <= {9, 10, 11}


# -- pictures that look the same ----------------------------------------------------------------------------------


def test_a_picture_stored_again_looks_the_same_and_others_do_not(data: Path, tmp_path: Path) -> None:
    pictures = sorted((data / "datasets" / "coco128-seg" / "images").rglob("*.jpg"))[:20]
    again = tmp_path / "again.jpg"
    cv2.imwrite(str(again), cv2.resize(cv2.imread(str(pictures[7])), None, fx=0.5, fy=0.5))
    groups = alike(look_at([*pictures, again]))
    assert [group for group in groups if len(group) > 1] == [[pictures[7], again]]
    assert len(groups) == 20


def test_a_picture_that_cannot_be_decoded_looks_like_none(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no picture")
    assert alike(look_at(tmp_path.iterdir())) == []


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 9), st.integers(0, 255)), max_size=30))
def test_the_quick_search_finds_what_comparing_all_pairs_finds(pictures):
    looks = {}
    for number, (level, step, corner) in enumerate(pictures):
        tiny = np.full((16, 16), max(level - level % 20, step) - step, np.uint8)
        tiny[0, 0] = corner
        looks[Path(str(number))] = Look(b"x", tiny)
    groups = [set(group) for group in alike(looks)]
    assert sorted(path for group in groups for path in group) == sorted(looks)
    # Of doubles the first stands for all: what is nearly as far apart as is allowed may then be in two groups.
    for near in linked(looks, CLOSE - SAME):
        assert any(near <= group for group in groups)
    for group in groups:
        assert any(group <= far for far in linked(looks, CLOSE))


def linked(looks, most):
    """Groups of what differs by no more than `most` from another one of the group."""
    links = {path: {path} for path in looks}
    for one, a in looks.items():
        for other, b in looks.items():
            if np.abs(a.tiny.astype(int) - b.tiny).max() <= most:
                merged = links[one] | links[other]
                for path in merged:
                    links[path] = merged
    return list(links.values())


def test_thousands_of_frames_of_a_fixed_camera_are_compared_with_few(monkeypatch):
    rng = np.random.default_rng(0)
    looks = {Path(str(i)): Look(b"x", rng.integers(100, 102, (16, 16)).astype(np.uint8)) for i in range(300)}
    compared = []
    search = likeness._candidates

    def counted(*arguments):
        for one, others in search(*arguments):
            compared.append(len(others))
            yield one, others

    monkeypatch.setattr(likeness, "_candidates", counted)
    assert [len(group) for group in alike(looks)] == [300]
    assert sum(compared) == 299


# -- lists and descriptions ---------------------------------------------------------------------------------------


def test_a_folder_becomes_lists_and_a_description_and_its_files_stay(folder):
    before = files(folder)
    done = split_dataset(folder, val=0.2, test=0.1)
    assert done.pictures == {"train": 14, "val": 4, "test": 2}
    assert done.description == folder / "data.yaml"
    assert files(folder).items() > before.items()
    assert set(files(folder)) - set(before) == {"train.txt", "val.txt", "test.txt", "data.yaml"}
    splits = [stems(done.description, split) for split in ("train", "val", "test")]
    assert sorted(stem for each in splits for stem in each) == [f"{i:02d}" for i in range(20)]
    assert splits[0] == sorted(splits[0])
    report = check(done.description)
    assert [each for each in report.problems if each.dropped] == []
    assert [facts.classes[2].pictures for facts in report.splits][:2] == [1, 1]


def test_the_data_set_can_be_moved_afterwards(folder, tmp_path):
    split_dataset(folder)
    shutil.move(folder, tmp_path / "elsewhere")
    assert len(stems(tmp_path / "elsewhere" / "data.yaml", "train")) == 16


def test_only_the_splits_that_were_asked_for_are_made(folder):
    done = split_dataset(folder, val=0, test=0.25)
    assert (dict(done.pictures), done.description.parent / "val.txt") == ({"train": 15, "test": 5}, folder / "val.txt")
    assert not (folder / "val.txt").exists()
    assert [*read_description(done.description).splits] == ["train", "test"]


def test_names_are_taken_from_what_labelling_tools_leave(folder):
    assert dict(split_dataset(folder).names) == {0: "class0", 1: "class1", 2: "class2"}
    (folder / "classes.txt").write_text("cat\ndog\nyes\n")
    assert dict(split_dataset(folder, exist_ok=True, copy=folder.parent / "out").names)[0] == "class0"
    (folder / "data.yaml").unlink()
    done = split_dataset(folder, exist_ok=True)
    assert dict(read_description(done.description).names) == {0: "cat", 1: "dog", 2: "yes"}


def test_names_of_a_description_from_another_machine_are_kept(folder):
    (folder / "data.yaml").write_text("path: /not/on/this/machine\ntrain: images/train\nnames: [cat, dog, yes]\n")
    done = split_dataset(folder, exist_ok=True)
    assert dict(read_description(done.description).names) == {0: "cat", 1: "dog", 2: "yes"}


def test_a_description_with_train_alone_keeps_its_names_and_stays(folder):
    (folder / "set.yaml").write_text("train: images\nnames: [x, y, z]\n")
    for source in (folder / "set.yaml", folder):
        done = split_dataset(source, exist_ok=True)
        assert done.description == folder / "set-split.yaml"
        assert dict(read_description(done.description).names) == {0: "x", 1: "y", 2: "z"}
        done.description.unlink()
    assert (folder / "set.yaml").read_text() == "train: images\nnames: [x, y, z]\n"


def test_pictures_elsewhere_are_listed_by_their_whole_path(folder, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "set.yaml").write_text(f"path: {folder}\ntrain: images\nnames: [x, y, z]\n")
    done = split_dataset(tmp_path / "here" / "set.yaml")
    assert len(stems(done.description, "train")) == 16
    assert (tmp_path / "here" / "val.txt").read_text().startswith(str(folder))


def test_look_alikes_are_never_divided(folder):
    for i in range(0, 20, 2):
        path = folder / "images" / ("a" if i < 10 else "b") / f"{i:02d}.png"
        shutil.copy(path, path.with_name(f"{path.stem}copy.png"))
    done = split_dataset(folder, val=0.4)
    assert done.together == 20
    for split in ("train", "val"):
        found = set(stems(done.description, split))
        for name in [name for name in found if name.endswith("copy")]:
            assert name.removesuffix("copy") in found


def test_pictures_that_cannot_be_read_are_left_out_and_counted(folder):
    path = folder / "images/a/01.png"
    path.write_bytes(path.read_bytes()[:500])
    (folder / "images/a/02.png").write_text("no picture")
    done = split_dataset(folder)
    assert (sum(done.pictures.values()), done.left_out) == (18, 2)


def test_copies_make_a_new_data_set_of_their_own(folder, tmp_path):
    before = files(folder)
    done = split_dataset(folder, copy=tmp_path / "new" / "out")
    assert files(folder) == before
    shutil.rmtree(folder)
    report = check(done.description)
    assert [facts.pictures for facts in report.splits] == [16, 4]
    rows = sum(text.count(b"\n") for name, text in before.items() if name.startswith("labels"))
    assert sum(facts.objects for facts in report.splits) == rows
    assert report.problems == ()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_copies_keep_labels_beside_pictures_of_several_folders_of_images(tmp_path):
    for part in ("one", "two"):
        for i in range(4):
            picture(tmp_path / part / "images" / f"{i}.png", hash((part, i)) % 1000)
            (tmp_path / part / "labels").mkdir(exist_ok=True)
            (tmp_path / part / "labels" / f"{i}.txt").write_text(f"0 {TRIANGLE}\n")
    (tmp_path / "set.yaml").write_text("train: [one/images, two/images]\nnames: [x]\n")
    done = split_dataset(tmp_path / "set.yaml", val=0.5, copy=tmp_path / "out")
    assert [facts.objects for facts in check(done.description).splits] == [4, 4]


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0, 0), (0.5, 0.5), (1, 0), (-0.1, 0.2), (float("nan"), 0)])
def test_shares_must_leave_something_for_training(folder, shares):
    with pytest.raises(OptionError, match=r"val=.* test="):
        split_dataset(folder, val=shares[0], test=shares[1])


def test_what_is_there_is_overwritten_only_when_asked_for(folder):
    split_dataset(folder)
    before = files(folder)
    with pytest.raises(OutputError, match=r"data\.yaml"):
        split_dataset(folder, seed=1)
    assert files(folder) == before
    split_dataset(folder, seed=1, exist_ok=True)
    assert files(folder) != before


def test_copies_go_into_a_new_folder_only(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="not empty; pictures are copied into a new folder only"):
        split_dataset(folder, copy=tmp_path / "out", exist_ok=True)
    assert files(tmp_path / "out") == {"mine.txt": b"kept"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their file names are text")
def test_a_name_that_is_no_text_cannot_stand_in_a_list(folder):
    os.rename(folder / "images/a/01.png", os.fsencode(folder / "images/a") + b"/\xff.png")
    with pytest.raises(SourceError, match="cannot stand in a list"):
        split_dataset(folder)
    assert not list(folder.glob("*.txt"))


def test_nothing_new_stays_when_a_list_cannot_be_written(folder):
    (folder / "val.txt").mkdir()
    before = files(folder)
    with pytest.raises(OutputError, match=r"val\.txt"):
        split_dataset(folder, exist_ok=True)
    assert files(folder) == before


def test_nothing_stays_of_copies_that_cannot_be_made(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    before = files(tmp_path)
    with pytest.raises(OutputError):
        split_dataset(folder, copy=tmp_path / "file" / "out")
    assert files(tmp_path) == before


def test_a_data_set_that_is_divided_already_is_refused(folder):
    (folder / "set.yaml").write_text("train: images/a\nval: images/b\nnames: [x, y, z]\n")
    with pytest.raises(SourceError, match="divided already"):
        split_dataset(folder / "set.yaml")


def test_names_that_are_too_few_are_refused(folder):
    (folder / "classes.txt").write_text("cat\n")
    with pytest.raises(SourceError, match="only 1"):
        split_dataset(folder)


def test_a_coco_file_is_refused_with_the_way_out(data: Path) -> None:
    path = next((data / "datasets" / "coco-val100-seg" / "annotations").glob("*.json"))
    with pytest.raises(SourceError, match="segkit data convert"):
        split_dataset(path)


def test_one_picture_cannot_be_divided(folder):
    for path in sorted((folder / "images").rglob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(SourceError, match="fewer than two"):
        split_dataset(folder)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(SourceError, match="no picture"):
        split_dataset(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        split_dataset(tmp_path / "none")
