"""What is kept of a data set saves time and is never trusted: not when a file changed, not when it is damaged."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from segkit.core.data.dataset import open_dataset, scan_dataset
from segkit.core.data.reading import folders

SQUARE = "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A cache of this test alone."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SEGKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def data_set(tmp_path):
    """Two pictures with labels as text and as JSON, one corrupt."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "json").mkdir()
    for name in ("1", "2"):
        cv2.imwrite(str(tmp_path / f"images/{name}.png"), np.zeros((8, 16, 3), np.uint8))
        (tmp_path / f"labels/{name}.txt").write_text(f"0 {SQUARE}\n1 .5 .5 .5 .5\n5 {SQUARE}\n")
    (tmp_path / "images/3.png").write_bytes(b"")
    (tmp_path / "data.yaml").write_text("val: images\ntrain: images/1.png\nnames: [x, y]\n")
    things = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 1, 9, 1, 9, 6], [1, 1, 2, 1, 2, 2]]},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"size": [8, 16], "counts": [3, 9, 116]}},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [1, 1, 2, 2], "area": 3.5, "iscrowd": 1},
        {"id": 4, "image_id": 2, "category_id": 3, "bbox": [1, 1, 2, 2]},
    ]
    images = [{"id": int(name), "file_name": f"{name}.png", "height": 8, "width": 16} for name in "123"]
    categories = [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]
    raw = {"images": images, "annotations": things, "categories": categories}
    (tmp_path / "json/all.json").write_text(json.dumps(raw))
    return tmp_path


def kept(folder):
    return sorted(folder.rglob("*.npz"))


def told(found):
    """Everything that a data set says."""
    samples = [
        (
            *(s.path, s.size, s.image_id, s.label, s.dropped),
            *(array.tolist() for array in (s.labels.classes, s.labels.boxes, s.labels.crowd)),
            repr(s.labels.areas.tolist()),
            [shape if isinstance(shape, dict) else [part.tolist() for part in shape] for shape in s.labels.shapes],
            [array.dtype for array in (s.labels.classes, s.labels.boxes, s.labels.crowd, s.labels.areas)],
        )
        for s in found
    ]
    return samples, found.problems, found.names, found.category_ids


@pytest.fixture
def parsed(monkeypatch):
    """Counts the files of labels that are parsed."""
    count = []
    parse_all = folders.parse_all

    def counted(files, classes):
        count.extend(path for data, path in files if data)
        return parse_all(files, classes)

    monkeypatch.setattr(folders, "parse_all", counted)
    return count


@pytest.mark.parametrize("name", ["data.yaml", "json/all.json"])
def test_what_was_kept_says_the_same(data_set, name):
    fresh = told(scan_dataset(data_set / name, cache=False))
    assert kept(data_set) == []
    assert told(scan_dataset(data_set / name)) == fresh
    (file,) = kept(data_set)
    assert file.parent == data_set / "json" if "json" in name else data_set
    before = file.stat().st_mtime_ns
    assert told(scan_dataset(data_set / name)) == fresh
    assert file.stat().st_mtime_ns == before


def test_real_sets_are_the_same_from_what_was_kept(data, data_set):
    for name in ("coco128-seg", "coco-val100-seg/annotations/instances_val2017.json"):
        path = data / "datasets" / name
        fresh, first, second = (open_dataset(path, cache=cache) for cache in (False, True, True))
        assert told(fresh) == told(first) == told(second)


def test_labels_are_not_parsed_again(data_set, parsed):
    open_dataset(data_set)
    assert len(parsed) == 2
    open_dataset(data_set)
    assert len(parsed) == 2
    open_dataset(data_set, cache=False)
    assert len(parsed) == 4


def test_splits_and_options_have_what_is_theirs(data_set):
    assert [len(open_dataset(data_set, split)) for split in ("val", "train", "val", "train")] == [2, 1, 2, 1]
    assert len(kept(data_set)) == 2
    one = open_dataset(data_set, single_cls=True, classes=[1])
    assert (one.names, [len(sample.labels) for sample in one]) == ({0: "item"}, [1, 1])
    assert [len(sample.labels) for sample in open_dataset(data_set)] == [2, 2]


def touched(path, text):
    """Write a text of the same length; the time of change tells."""
    state = path.stat()
    path.write_text(text.ljust(state.st_size)[: state.st_size])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))


CHANGES = {
    "a label changed": lambda folder: touched(folder / "labels/1.txt", f"1 {SQUARE}\n"),
    "a label appeared": lambda folder: (folder / "labels/3.txt").write_text(""),
    "a label went": lambda folder: (folder / "labels/2.txt").unlink(),
    "a picture was mended": lambda folder: cv2.imwrite(str(folder / "images/3.png"), np.zeros((4, 4, 3), np.uint8)),
    "a picture was turned": lambda folder: cv2.imwrite(str(folder / "images/1.png"), np.zeros((16, 8, 3), np.uint8)),
    "a picture appeared": lambda folder: cv2.imwrite(str(folder / "images/4.png"), np.zeros((8, 8, 3), np.uint8)),
    "a picture went": lambda folder: (folder / "images/1.png").unlink(),
    "a label may be read again": lambda folder: (folder / "labels/2.txt").chmod(0o600),
    "there are more classes": lambda folder: (folder / "data.yaml").write_text("val: images\nnames: [a,b,c,d,e,f]\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("where", ["beside", "home"])
def test_it_is_not_used_once_something_is_different(data_set, change, where, parsed):
    if where == "home":
        data_set.chmod(0o555)
    scan_dataset(data_set)
    data_set.chmod(0o755)
    change(data_set)
    assert len(parsed) == 2
    after = told(scan_dataset(data_set))
    assert len(parsed) > 2
    assert after == told(scan_dataset(data_set, cache=False)) == told(scan_dataset(data_set))


@pytest.mark.parametrize("change", ["file", "picture", "names"])
def test_that_of_a_json_file_is_not_used_once_something_is_different(data_set, change):
    (data_set / "data.yaml").write_text("val: json/all.json\nnames: [x, y]\n")
    before = told(scan_dataset(data_set / "data.yaml"))
    if change == "file":
        raw = json.loads((data_set / "json/all.json").read_text())
        raw["annotations"].pop()
        (data_set / "json/all.json").write_text(json.dumps(raw))
    elif change == "names":
        (data_set / "data.yaml").write_text("val: json/all.json\nnames: [y, x]\n")
    else:
        cv2.imwrite(str(data_set / "images/3.png"), np.zeros((8, 8, 3), np.uint8))
    after = told(scan_dataset(data_set / "data.yaml"))
    assert after == told(scan_dataset(data_set / "data.yaml", cache=False)) != before


def test_pictures_that_were_missing_may_come(data_set):
    (data_set / "images/2.png").rename(data_set / "later.png")
    assert len(scan_dataset(data_set / "json/all.json")) == 1
    (data_set / "later.png").rename(data_set / "images/2.png")
    assert len(scan_dataset(data_set / "json/all.json")) == 2


@pytest.mark.parametrize("name", ["data.yaml", "json/all.json"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "folder", "pickle", "shuffled"])
def test_a_damaged_one_is_made_again_in_silence(data_set, name, damage, capfd):
    fresh = told(scan_dataset(data_set / name))
    (file,) = kept(data_set)
    whole = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    elif damage == "pickle":
        np.savez(file, meta=np.array([{}], object))
    elif damage == "shuffled":
        with np.load(file) as archive:
            arrays = dict(archive)
        arrays["counts"] = arrays["counts"] + 1
        np.savez(file, **arrays)
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 200]) + whole[middle + 200 :]
        file.write_bytes({"empty": b"", "cut": whole[:middle], "flipped": flipped, "text": b"hello"}[damage])
    assert told(scan_dataset(data_set / name)) == fresh
    assert told(scan_dataset(data_set / name)) == fresh
    if damage != "folder":
        assert len(kept(data_set)) == 1
        assert file.stat().st_size == len(whole)
    assert capfd.readouterr() == ("", "")


def test_whatever_bytes_are_damaged_the_set_is_the_same(data_set):
    fresh = told(scan_dataset(data_set))
    (file,) = kept(data_set)
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(80):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(0, len(damaged), random.integers(1, 9))
        damaged[places] = random.integers(0, 256, len(places))
        file.write_bytes(damaged.tobytes())
        assert told(scan_dataset(data_set)) == fresh


def test_a_folder_that_is_read_only_is_left_alone(data_set, home, parsed):
    data_set.chmod(0o555)
    open_dataset(data_set)
    open_dataset(data_set)
    data_set.chmod(0o755)
    assert (kept(data_set), len(kept(home)), len(parsed)) == ([], 1, 2)


def test_nowhere_to_keep_it_is_no_error(data_set, monkeypatch, capfd):
    (data_set / "file").write_text("")
    monkeypatch.setenv("SEGKIT_CACHE", str(data_set / "file/below"))
    data_set.chmod(0o555)
    assert len(open_dataset(data_set)) == 2
    data_set.chmod(0o755)
    assert capfd.readouterr() == ("", "")
