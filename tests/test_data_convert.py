"""Outlines that stand for masks, and COCO's annotations made label files and back: nothing lost but what is counted."""

from __future__ import annotations

import errno
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segkit.core import rle
from segkit.core.data.convert import convert
from segkit.core.data.convert.coco import mask_of
from segkit.core.data.convert.shapes import area_of, box_item, clip, item_of, one_outline, pixels
from segkit.core.data.dataset import open_dataset
from segkit.core.data.named.coco_classes import NAMES
from segkit.core.data.raster import polygon_mask
from segkit.core.data.tracing import INSET, signed_area, trace
from segkit.core.errors import OptionError, OutputError, SourceError

masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def whole(crop, top, left, size):
    frame = np.zeros(size, np.bool_)
    frame[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return frame


def read_back(outline, size):
    """An outline after it was in a label file."""
    text = [f"{number:.9g}" for number in (outline / [size[1], size[0]]).astype(np.float32).ravel()]
    return np.array([float(word) for word in text]).reshape(-1, 2) * [size[1], size[0]]


def perimeter(mask):
    framed = np.pad(mask, 1).astype(np.int8)
    return int(np.abs(np.diff(framed, axis=0)).sum() + np.abs(np.diff(framed, axis=1)).sum())


@given(masks)
def test_a_mask_comes_back_from_its_outlines_pixel_by_pixel(mask):
    parts = trace(mask)
    assert bool(parts) == bool(mask.any())
    if parts:
        assert np.array_equal(whole(*pixels(parts, mask.shape), mask.shape), mask)


@given(masks)
def test_a_mask_comes_back_from_one_line_of_a_label_file(mask):
    assume(mask.any())
    item = item_of(0, trace(mask), mask.shape)
    outline = read_back(one_outline(item), mask.shape)
    assert np.array_equal(whole(*pixels([outline], mask.shape), mask.shape), mask)
    # A little inside of every border, and bridges enclose nothing.
    assert abs(signed_area(outline)) == pytest.approx(mask.sum() - INSET * perimeter(mask), abs=0.04 * len(outline))


@given(masks)
def test_cocos_own_tools_fill_an_outline_to_the_same_mask(mask):
    coco = pytest.importorskip("pycocotools.mask")
    assume(mask.any())
    outline = one_outline(item_of(0, trace(mask), mask.shape))
    (filled,) = coco.frPyObjects([outline.ravel().tolist()], *mask.shape)
    assert np.array_equal(rle.decode({"size": filled["size"], "counts": filled["counts"].decode("ascii")}), mask)


@given(arrays.arrays(np.bool_, st.tuples(st.integers(2, 12), st.integers(2, 12))))
def test_training_sees_the_same_mask_too_but_for_bridges(mask):
    """Its rule draws the outline itself: where parts are far apart, a line one pixel wide joins them."""
    assume(mask.any())
    for part in trace(mask):
        assume(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2)
        crop = polygon_mask([(part / [mask.shape[1], mask.shape[0]]).astype(np.float32)], mask.shape)
        filled = whole(crop.mask, crop.top, crop.left, mask.shape)
        assert not (mask & ~filled).any()
        holes = cv2.connectedComponents(np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=8)[0] - 2
        assert holes or np.array_equal(filled, mask)


def test_a_ring_keeps_its_hole_by_every_rule():
    mask = np.zeros((200, 220), np.uint8)
    cv2.circle(mask, (100, 90), 80, 1, -1)
    cv2.circle(mask, (110, 95), 40, 0, -1)
    (part,) = trace(mask > 0)
    crop = polygon_mask([(part / [220, 200]).astype(np.float32)], (200, 220))
    assert np.array_equal(whole(crop.mask, crop.top, crop.left, mask.shape), mask > 0)
    assert signed_area(part) == pytest.approx(mask.sum(), rel=0.005)


def test_pixels_that_touch_in_a_corner_stay_one_object_without_an_area_between():
    parts = trace(np.eye(3, dtype=bool), 5, 7)
    assert len(parts) == 3
    assert [signed_area(part) for part in parts] == pytest.approx([(1 - 2 * INSET) ** 2] * 3)
    assert parts[0].min(axis=0).tolist() == [7 + INSET, 5 + INSET]


def test_parts_that_overlap_become_their_union():
    squares = [np.array([[x, 10], [x + 20, 10], [x + 20, 30], [x, 30]], float) for x in (10, 20)]
    item = item_of(0, squares, (50, 60))
    assert pixels([one_outline(item)], (50, 60))[0].sum() == 600
    assert area_of(item.parts, (50, 60)) == pytest.approx(600, rel=0.01)


def test_parts_drawn_in_opposite_directions_add_up():
    squares = [np.array([[x, 10], [x + 20, 10], [x + 20, 30], [x, 30]], float) for x in (0, 30)]
    item = item_of(0, [squares[0], squares[1][::-1]], (50, 60))
    assert abs(signed_area(one_outline(item))) == pytest.approx(800)


points = st.lists(st.tuples(st.floats(-50, 100), st.floats(-50, 100)), min_size=3, max_size=8)


@given(points)
def test_what_is_outside_of_the_picture_is_cut_off(corners):
    outline = np.array(corners)
    inside = clip(outline, (40, 50))
    assert ((inside >= 0) & (inside <= [50, 40])).all()
    wanted = whole(*pixels([outline + 60], (220, 220)), (220, 220))[60:100, 60:110]
    found = whole(*pixels([inside], (40, 50)), (40, 50)) if len(inside) else np.zeros((40, 50), bool)
    assert (wanted != found).sum() <= 2 * len(corners)  # centres that an edge meets to the last digit


def test_an_outline_inside_is_left_as_it_is():
    outline = np.array([[0.0, 0], [50, 0], [50, 40], [3, 39.5]])
    assert clip(outline, (40, 50)) is outline


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ([[1, 1], [5, 5]], "fewer than 3"),
        ([[-9, -9], [-5, -9], [-5, -2]], "outside"),
        ([[1, 1], [3, 3], [9, 9]], "area"),
        ([[1, 1], [9, 1], [4, 1]], "area"),
    ],
)
def test_what_is_no_outline_says_why(corners, reason):
    assert reason in item_of(0, [np.array(corners, float)], (40, 50))


def test_a_figure_of_eight_has_an_area_although_its_loops_cancel():
    outline = np.array([[10.0, 10], [30, 30], [30, 10], [10, 30]])
    item = item_of(0, [outline], (40, 50))
    assert area_of(item.parts, (40, 50)) > 150


def test_a_box_without_a_width_is_none():
    assert "without an area" in box_item(0, (50, 3, 60, 9), (40, 50))
    assert box_item(0, (-5, 3, 60, 9), (40, 50)).box.tolist() == [0, 3, 50, 9]


@given(masks)
def test_run_lengths_of_both_spellings_are_read(mask):
    lengths = rle.runs(mask, 0, 0, mask.shape)
    for counts in (lengths.tolist(), rle.compress(lengths)):
        assert np.array_equal(mask_of({"size": [*mask.shape], "counts": counts}, mask.shape), mask)


@given(st.one_of(st.text(max_size=30), st.lists(st.integers(-(2**70), 2**70), max_size=9), st.none(), st.just([[1]])))
def test_hostile_run_lengths_are_a_mask_of_the_size_or_nothing(counts):
    found = mask_of({"size": [4, 5], "counts": counts}, (4, 5))
    assert found is None or found.shape == (4, 5)


# Files


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A COCO file of three pictures, one of them without objects, with categories that are not COCO's."""
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / name)
    document = {
        "images": [
            {"id": i, "file_name": f"{n}.png", "height": 40, "width": 60} for i, n in ((7, "a"), (3, "b"), (9, "c"))
        ],
        "categories": [{"id": 12, "name": "nut"}, {"id": 4, "name": "bolt"}],
        "annotations": [
            {"image_id": 7, "category_id": 12, "iscrowd": 0, "segmentation": [square(5, 5, 10), square(30, 20, 10)]},
            {"image_id": 7, "category_id": 4, "iscrowd": 0, "segmentation": [], "bbox": [10, 10, 20, 10]},
            {"image_id": 3, "category_id": 4, "iscrowd": 1, "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
            {"image_id": 3, "category_id": 4, "iscrowd": 0, "segmentation": {"size": [40, 60], "counts": [0, 99]}},
            {"image_id": 3, "category_id": 5, "iscrowd": 0, "segmentation": [square(1, 1, 5)]},
            {"image_id": 1, "category_id": 4, "iscrowd": 0, "segmentation": [square(1, 1, 5)]},
            {"image_id": 3, "category_id": 4, "iscrowd": 0, "segmentation": [[1, 2, 3, 4]]},
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return path


def test_a_converted_set_opens_as_one_of_ours(small: Path, tmp_path: Path):
    report = convert(small, tmp_path / "out")
    assert (report.kind, report.to, report.names) == ("coco", "yolo", ("bolt", "nut"))
    assert (report.pictures, report.objects, report.empty, report.linked) == ({"train": 3}, {"bolt": 1, "nut": 1}, 2, 3)
    dataset = open_dataset(tmp_path / "out" / "data.yaml", "train", cache=False)
    assert dict(dataset.names) == {0: "bolt", 1: "nut"}
    assert [sample.path.name for sample in dataset] == ["a.png", "b.png", "c.png"]
    assert dataset[0].labels.classes.tolist() == [1, 0]
    assert [len(shape) for shape in dataset[0].labels.shapes] == [1, 0]
    assert dataset[0].labels.boxes[1] * [60, 40, 60, 40] == pytest.approx([10, 10, 30, 20])
    assert len(dataset[1].labels) == 0
    assert dataset[1].label.read_text() == ""


def test_everything_left_out_is_counted_with_its_reason(small: Path, tmp_path: Path):
    assert convert(small, tmp_path / "out").skipped == {
        "crowd regions": 1,
        "objects of a category that the file does not list": 1,
        "objects of a picture that the file does not list": 1,
        "objects with damaged run lengths": 1,
        "objects with fewer than 3 points": 1,
    }


def test_pictures_are_links_unless_copies_are_asked_for(small: Path, tmp_path: Path):
    convert(small, tmp_path / "links")
    convert(small, tmp_path / "copies", copy=True)
    assert (tmp_path / "links/images/train/a.png").is_symlink()
    copied = tmp_path / "copies/images/train/a.png"
    assert not copied.is_symlink()
    assert copied.read_bytes() == (tmp_path / "images/a.png").read_bytes()


def test_without_pictures_the_labels_are_made(small: Path, tmp_path: Path):
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    assert convert(small, tmp_path / "out").linked == 0
    assert len((tmp_path / "out/labels/train/a.txt").read_text().splitlines()) == 2
    assert convert(small, tmp_path / "found", images=tmp_path / "elsewhere").linked == 3


def test_a_picture_of_another_size_is_left_out(small: Path, tmp_path: Path):
    Image.new("RGB", (40, 60)).save(tmp_path / "images" / "b.png")
    report = convert(small, tmp_path / "out")
    assert report.pictures == {"train": 2}
    assert report.skipped["pictures of another size than the file says"] == 1


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "C:/evil.png", "", "x" * 300 + ".png", "\ud800.png"])
def test_no_name_leads_out_of_the_target(small: Path, tmp_path: Path, name: str):
    document = json.loads(small.read_text())
    document["images"][0]["file_name"] = name
    small.write_text(json.dumps(document))
    report = convert(small, tmp_path / "deep" / "er" / "out")
    assert report.skipped["pictures without a usable file_name, id, height and width"] == 1
    assert not list(tmp_path.rglob("evil*"))


def test_a_folder_of_several_files_gives_a_split_each(small: Path, tmp_path: Path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    small.rename(folder / "instances_train2017.json")
    (folder / "instances_val2017.json").write_bytes((folder / "instances_train2017.json").read_bytes())
    (folder / "captions_val2017.json").write_text("{}")
    assert convert(tmp_path, tmp_path / "out").pictures == {"train": 3, "val": 3}
    described = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert (described["train"], described["val"]) == ("images/train", "images/val")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nests too deeply"),
        ("{", "not JSON"),
        ("[1, 2]", "no instance annotation"),
        ('{"images": [], "annotations": [], "categories": []}', "categories"),
        ('{"images": [{"id": NaN}], "annotations": [], "categories": [{"id": 1}]}', "NaN"),
    ],
)
def test_a_file_that_is_not_cocos_is_one_clear_error(tmp_path: Path, text: str, words: str):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=words):
        convert(path, tmp_path / "out", kind="coco")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


KEYS = [
    "id",
    "image_id",
    "category_id",
    "file_name",
    "height",
    "width",
    "segmentation",
    "counts",
    "size",
    "bbox",
    "iscrowd",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=12,
)


@given(values)
def test_hostile_entries_are_left_out(tmp_path_factory: pytest.TempPathFactory, value):
    folder = tmp_path_factory.mktemp("hostile")
    entries = value if isinstance(value, list) else [value]
    document = {
        "images": [*entries, {"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
        "annotations": [
            {"image_id": 1, "category_id": 1, **each} if isinstance(each, dict) else each for each in entries
        ],
        "categories": [{"id": 1, "name": "one"}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    assert convert(folder / "a.json", folder / "out").pictures["train"] >= 1


# The target


def test_a_target_that_is_not_empty_is_refused(small: Path, tmp_path: Path):
    convert(small, tmp_path / "out")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "labels" / "train" / "a.txt").write_text("changed")
    with pytest.raises(OutputError, match="not empty"):
        convert(small, tmp_path / "out")
    assert (tmp_path / "out/labels/train/a.txt").read_text() == "changed"
    convert(small, tmp_path / "out", exist_ok=True)
    assert (tmp_path / "out/labels/train/a.txt").read_text() != "changed"
    assert (tmp_path / "out/mine.txt").read_text() == "mine"


def test_an_empty_folder_may_be_the_target(small: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    convert(small, tmp_path / "out")
    assert (tmp_path / "out/data.yaml").is_file()


def test_a_picture_that_is_in_its_place_already_stays_a_file(small: Path, tmp_path: Path):
    (tmp_path / "images" / "train").mkdir()
    for name in "abc":
        (tmp_path / "images" / f"{name}.png").rename(tmp_path / "images" / "train" / f"{name}.png")
    small = small.rename(tmp_path / "instances_train.json")
    report = convert(small, tmp_path, exist_ok=True)
    assert report.linked == 3
    kept = tmp_path / "images" / "train" / "a.png"
    assert not kept.is_symlink()
    assert kept.stat().st_size > 0
    assert len(open_dataset(tmp_path / "data.yaml", "train", cache=False)) == 3


def test_the_working_folder_may_be_the_target(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    convert(small, ".")
    assert Path("data.yaml").is_file()
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize("made_before", [False, True])
def test_a_full_disk_leaves_nothing_behind(small: Path, tmp_path: Path, monkeypatch, made_before: bool):
    target = tmp_path / "new" / "out"
    if made_before:
        target.mkdir(parents=True)
        (target / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    write = Path.write_text

    def full(path: Path, *args, **options):
        if path.name == "b.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="the disk is full"):
        convert(small, target, exist_ok=made_before)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_target_cannot_be_below_a_file(small: Path, tmp_path: Path):
    with pytest.raises(OutputError, match=r"in the way|a file, not a folder"):
        convert(small, small / "out")


def test_options_that_make_no_sense_are_refused(small: Path, tmp_path: Path):
    for options, words in (
        ({"kind": "cocoo"}, "Did you mean 'coco'"),
        ({"to": "voc"}, "yolo or coco"),
        ({"to": "coco"}, "already"),
        ({"names": ["a"]}, "names of their own"),
        ({"label": "a"}, "instance masks"),
        ({"least": 0}, "from 1 on"),
    ):
        with pytest.raises(OptionError, match=words):
            convert(small, tmp_path / "out", **options)
    with pytest.raises(SourceError, match="no such file"):
        convert(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(SourceError, match="no such folder of pictures"):
        convert(small, tmp_path / "out", images=tmp_path / "absent")


# Round trips


def annotations_of(path: Path) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    for entry in json.loads(path.read_text())["annotations"]:
        if not entry["iscrowd"]:
            found.setdefault(entry["image_id"], []).append(entry)
    return found


@pytest.mark.parametrize(
    ("name", "file", "split"),
    [("coco128-seg", "instances_train2017.json", "train"), ("coco-val100-seg", "instances_val2017.json", "val")],
)
def test_a_real_set_comes_back(data: Path, tmp_path: Path, name: str, file: str, split: str):
    source = data / "datasets" / name / "annotations" / file
    first = convert(source, tmp_path / "yolo")
    second = convert(tmp_path / "yolo", tmp_path / "coco")
    document = json.loads(source.read_text())
    crowds = sum(entry["iscrowd"] for entry in document["annotations"])
    assert first.names == NAMES
    assert first.skipped == {"crowd regions": crowds}
    assert sum(first.objects.values()) == len(document["annotations"]) - crowds
    assert (second.objects, second.skipped) == (first.objects, {})
    before, after = annotations_of(source), annotations_of(tmp_path / "coco/annotations" / f"instances_{split}.json")
    assert before.keys() == after.keys()
    off = Counter[str]()
    for image, entries in before.items():
        assert [each["category_id"] for each in entries] == [each["category_id"] for each in after[image]]
        for mine, theirs in zip(after[image], entries, strict=True):
            worst = abs(mine["area"] / theirs["area"] - 1)
            off["all"] += 1
            off["above 1 %"] += worst > 0.01
            # Below 100 pixels a rim of 1/128 pixel can be more; an outline that crosses itself encloses less.
            assert worst <= 0.02
            assert np.allclose(mine["bbox"], theirs["bbox"], atol=1.01)
    assert off["above 1 %"] <= 0.01 * off["all"]


def test_labels_are_those_that_the_set_brings(data: Path, tmp_path: Path):
    """The polygons of coco128-seg, converted by another tool: as masks, the same but for how far parts were bridged."""
    folder = data / "datasets" / "coco128-seg"
    convert(folder / "annotations" / "instances_train2017.json", tmp_path / "out")
    given = {sample.path.name: sample for sample in open_dataset(folder / "coco128-seg.yaml", "train", cache=False)}
    overlaps = []
    for sample in open_dataset(tmp_path / "out/data.yaml", "train", cache=False):
        theirs = given[sample.path.name]
        masks = [
            [whole(*polygon_mask(shape, sample.size), sample.size) for shape in each.labels.shapes]
            for each in (sample, theirs)
        ]
        assert sorted(sample.labels.classes) == sorted(theirs.labels.classes)
        for mask in masks[0]:
            overlaps.append(max((mask & other).sum() / (mask | other).sum() for other in masks[1]))
    assert np.mean(overlaps) > 0.99
    assert min(overlaps) > 0.75


def test_other_names_get_categories_from_one_on(small: Path, tmp_path: Path):
    convert(small, tmp_path / "out")
    before = sorted((tmp_path / "out").rglob("*"))
    report = convert(tmp_path / "out/data.yaml", tmp_path / "back.json")
    assert sorted((tmp_path / "out").rglob("*")) == before
    document = json.loads((tmp_path / "back.json").read_text())
    assert document["categories"] == [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    assert [each["id"] for each in document["images"]] == [1, 2, 3]
    assert report.pictures == {"train": 3}
    nut, bolt = document["annotations"]
    assert (nut["area"], nut["bbox"]) == (pytest.approx(200, abs=0.01), pytest.approx([5, 5, 35, 25], abs=0.01))
    assert (bolt["segmentation"], bolt["bbox"]) == ([], pytest.approx([10, 10, 20, 10], abs=0.01))


def test_one_json_file_cannot_hold_two_splits(small: Path, tmp_path: Path):
    convert(small, tmp_path / "out")
    described = tmp_path / "out/data.yaml"
    described.write_text(described.read_text().replace("names:", "val: images/train\nnames:"))
    with pytest.raises(OutputError, match="2 splits"):
        convert(described, tmp_path / "back.json")
    assert convert(described, tmp_path / "back").pictures == {"train": 3, "val": 3}
    assert len(list((tmp_path / "back/annotations").iterdir())) == 2


def test_parts_in_a_row_are_joined_one_to_the_next():
    """Whatever their order: a bridge to the first of them would lead across the second."""
    squares = [np.array([[x, 0], [x + 4, 0], [x + 4, 4], [x, 4]], float) for x in (0, 20, 40, 10, 30)]
    outline = one_outline(item_of(0, squares, (10, 60)))
    lengths = np.hypot(*(outline - np.roll(outline, 1, axis=0)).T)
    assert sorted(lengths[lengths > 4].tolist()) == [6] * 8  # four bridges, there and back


def test_noise_of_thousands_of_parts_is_still_one_outline():
    mask = np.zeros((90, 90), bool)
    mask[::2, ::2] = True
    outline = one_outline(item_of(0, trace(mask), mask.shape))
    assert np.array_equal(whole(*pixels([outline], mask.shape), mask.shape), mask)


def test_coco_gets_its_pictures_too(small: Path, tmp_path: Path):
    convert(small, tmp_path / "out")
    report = convert(tmp_path / "out", tmp_path / "back", copy=True)
    assert report.linked == 3
    opened = open_dataset(tmp_path / "back/annotations/instances_train.json", cache=False)
    assert {sample.path.parent for sample in opened} == {tmp_path / "back/images/train"}
    assert not any(sample.path.is_symlink() for sample in opened)
    with pytest.raises(OptionError, match="no room for pictures"):
        convert(tmp_path / "out", tmp_path / "back.json", copy=True)


def test_names_of_files_need_not_be_text(small: Path, tmp_path: Path):
    """But bytes that the file system takes: old names are not all UTF-8."""
    convert(small, tmp_path / "out", copy=True)
    for folder, suffix in (("images", "png"), ("labels", "txt")):
        place = tmp_path / "out" / folder / "train"
        (place / f"a.{suffix}").rename(place / f"\udcff.{suffix}")
    report = convert(tmp_path / "out/data.yaml", tmp_path / "back")
    assert report.pictures == {"train": 3}
    assert (tmp_path / "back/images/train/\udcff.png").exists()
    assert convert(tmp_path / "back", tmp_path / "again").linked == 3


@pytest.mark.parametrize(("key", "value"), [("file_name", "../a.png"), ("height", 1_000_000)])
def test_a_set_without_one_usable_picture_is_an_error(small: Path, tmp_path: Path, key: str, value: object):
    document = json.loads(small.read_text())
    for image in document["images"]:
        image |= {"width": 1_000_000, key: value}
    small.write_text(json.dumps(document))
    with pytest.raises(SourceError, match=r"no picture that can be converted .*3 pictures without a usable"):
        convert(small, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_in_each_splits_folder(small: Path, tmp_path: Path):
    """As Roboflow exports COCO."""
    for split in ("train", "valid"):
        (tmp_path / "set" / split).mkdir(parents=True)
        (tmp_path / "set" / split / "_annotations.coco.json").write_bytes(small.read_bytes())
        for picture in (tmp_path / "images").iterdir():
            (tmp_path / "set" / split / picture.name).write_bytes(picture.read_bytes())
    report = convert(tmp_path / "set", tmp_path / "out")
    assert (report.kind, report.pictures, report.linked) == ("coco", {"train": 3, "val": 3}, 6)


def test_names_of_classes_are_made_fit_for_one_line(small: Path, tmp_path: Path):
    document = json.loads(small.read_text())
    document["categories"][0]["name"] = " a\n b: \ud800 "
    small.write_text(json.dumps(document))
    assert "a b: ?" in convert(small, tmp_path / "out").names
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text(encoding="utf-8"))["names"][0] in ("a b: ?", "bolt")


def test_large_outlines_are_filled_strip_by_strip():
    square = np.array([[10, 10], [5990, 10], [5990, 2990], [10, 2990]], float)
    mask, top, left = pixels([square, square[[0, 1, 2]]], (3000, 6000))
    assert (top, left, int(mask.sum())) == (10, 10, 5980 * 2980)
    item = item_of(0, [square, square - 5], (3000, 6000))
    assert not isinstance(item, str)
    assert sum(abs(signed_area(part)) for part in item.parts) == pytest.approx(5985 * 2985 - 50, rel=1e-4)
