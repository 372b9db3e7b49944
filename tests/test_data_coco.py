"""COCO's JSON of instances is read as it is: polygons, run lengths, crowds, areas, numbers; faults cost one object."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core import rle
from segkit.core.data.dataset import open_dataset
from segkit.core.data.named.coco_classes import CATEGORY_IDS, NAMES
from segkit.core.data.problems import Kind
from segkit.core.data.reading.coco_objects import labels_of
from segkit.core.errors import SourceError

POLYGON = [2, 1, 10, 1, 10, 6, 2, 6]


@pytest.fixture
def folder(tmp_path):
    """A picture of 8 by 16 in images/val2017."""
    (tmp_path / "images/val2017").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    cv2.imwrite(str(tmp_path / "images/val2017/7.png"), np.zeros((8, 16, 3), np.uint8))
    return tmp_path


def thing(**fields):
    return {
        "id": 1,
        "image_id": 7,
        "category_id": 3,
        "segmentation": [POLYGON],
        "bbox": [2, 1, 8, 5],
        "area": 40,
    } | fields


def written(folder, *things, name="annotations/instances_val2017.json", **fields):
    raw = {
        "images": [{"id": 7, "file_name": "7.png", "height": 8, "width": 16}],
        "annotations": list(things),
        "categories": [{"id": 9, "name": "y"}, {"id": 3, "name": "x"}],
    }
    (folder / name).write_text(json.dumps(raw | fields))
    return folder / name


def opened(path, split="val"):
    return open_dataset(path, split, cache=False)


def refusal(path):
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "pictures", "objects", "crowds"),
    [
        ("coco128-seg/annotations/instances_train2017.json", 128, 939, 10),
        ("coco-val100-seg/annotations/instances_val2017.json", 100, 712, 5),
        ("coco-val100-seg/annotations", 100, 712, 5),
    ],
)
def test_real_sets_are_read_whole(data, name, pictures, objects, crowds):
    found = opened(data / "datasets" / name)
    assert (len(found), sum(len(sample.labels) for sample in found)) == (pictures, objects)
    assert sum(int(sample.labels.crowd.sum()) for sample in found) == crowds
    assert found.problems == ()
    assert tuple(found.names.values()) == NAMES
    assert tuple(found.category_ids[index] for index in range(80)) == CATEGORY_IDS


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
@pytest.mark.parametrize("name", ["coco128-seg/annotations/instances_train2017", "coco-val100-seg/annotations"])
def test_real_objects_are_those_that_pycocotools_reads(data, name):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO

    found = opened(data / "datasets" / (name if name.endswith("annotations") else f"{name}.json"))
    theirs = COCO(str(found.source))
    for sample in found[:25]:
        things = theirs.imgToAnns[sample.image_id]
        labels = sample.labels
        height, width = sample.size
        assert [found.category_ids[index] for index in labels.classes.tolist()] == [t["category_id"] for t in things]
        assert labels.areas.tolist() == [thing["area"] for thing in things]
        assert labels.crowd.tolist() == [bool(thing["iscrowd"]) for thing in things]
        x, y, w, h = np.array([thing["bbox"] for thing in things]).reshape(-1, 4).T
        np.testing.assert_allclose(labels.boxes * ([width, height] * 2), np.stack([x, y, x + w, y + h], 1), atol=1e-3)
        for shape, thing in zip(labels.shapes, things, strict=True):
            if isinstance(shape, dict):
                assert (rle.decode(shape) == theirs.annToMask(thing)).all()
            else:
                assert len(shape) == len(thing["segmentation"])
                pixels = shape[0] * [width, height]
                np.testing.assert_allclose(pixels.ravel(), np.clip(thing["segmentation"][0], 0, None), atol=0.01)


def test_the_labels_that_were_converted_say_the_same(data):
    """The set has both: lines of text, without crowds and with joined parts, and JSON."""
    lines = {sample.path.name: sample for sample in open_dataset(data / "datasets/coco128-seg", cache=False)}
    for sample in opened(data / "datasets/coco128-seg/annotations"):
        single = [
            index
            for index, shape in enumerate(sample.labels.shapes)
            if isinstance(shape, tuple) and len(shape) == 1 and not sample.labels.crowd[index]
        ]
        boxes = lines[sample.path.name].labels.boxes
        for index in single:
            assert np.abs(boxes - sample.labels.boxes[index]).max(axis=1).min() < 0.02


def test_categories_in_the_order_of_their_numbers_are_the_classes(folder):
    found = opened(written(folder, thing(), thing(category_id=9)))
    assert (found.names, found.category_ids) == ({0: "x", 1: "y"}, {0: 3, 1: 9})
    assert found[0].labels.classes.tolist() == [0, 1]
    assert (found[0].image_id, found[0].size) == (7, (8, 16))
    np.testing.assert_allclose(found[0].labels.shapes[0][0], np.float32(POLYGON).reshape(-1, 2) / [16, 8])
    np.testing.assert_allclose(found[0].labels.boxes[0], [0.125, 0.125, 0.625, 0.75])


def test_inside_a_description_categories_are_found_by_their_names(folder):
    path = written(folder, thing(), thing(category_id=9))
    (folder / "data.yaml").write_text("val: annotations/instances_val2017.json\nnames: [z, Y, x]\n")
    found = opened(folder / "data.yaml")
    assert (found[0].labels.classes.tolist(), found.names) == ([2, 1], {0: "z", 1: "Y", 2: "x"})
    assert found.category_ids == {2: 3, 1: 9}
    (folder / "data.yaml").write_text("val: annotations/instances_val2017.json\nnames: [z, x]\n")
    found = opened(folder / "data.yaml")
    assert (found[0].labels.classes.tolist(), found[0].dropped) == ([1], 1)
    (folder / "data.yaml").write_text("val: annotations/instances_val2017.json\nnames: [a, b]\n")
    assert "none of its categories (y, x) is a class of the data set (a, b)" in refusal(folder / "data.yaml")
    assert refusal(folder / "data.yaml").startswith(f"Cannot read '{path}'")


def test_run_lengths_are_read_in_both_forms(folder):
    mask = np.zeros((8, 16), bool)
    mask[2:5, 3:9] = True
    mask[6, 15] = True
    runs = rle.runs(mask, 0, 0, (8, 16)).tolist()
    plain = {"size": [8, 16], "counts": runs}
    packed = {"size": [8, 16], "counts": rle.compress(np.array(runs))}
    labels = opened(
        written(folder, thing(segmentation=plain, iscrowd=1), thing(segmentation=packed, bbox=None, area=None))
    )[0].labels
    assert labels.shapes[0] == labels.shapes[1] == packed
    assert (rle.decode(labels.shapes[0]) == mask).all()
    assert labels.crowd.tolist() == [True, False]
    assert labels.areas[0] == 40
    assert np.isnan(labels.areas[1])
    np.testing.assert_allclose(labels.boxes[1], [3 / 16, 2 / 8, 1, 7 / 8])


def test_an_object_of_several_parts_keeps_them_and_one_without_any_is_a_box(folder):
    parts = [POLYGON, [12, 6, 14, 6], [12, 6, 14, 6, 14, 7]]
    labels = opened(written(folder, thing(segmentation=parts, bbox=None), thing(segmentation=[])))[0].labels
    assert [len(shape) for shape in labels.shapes] == [2, 0]
    np.testing.assert_allclose(labels.boxes[0], [2 / 16, 1 / 8, 14 / 16, 7 / 8])


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"category_id": 4}, Kind.BAD_CLASS, "its category 4"),
        ({"category_id": [3]}, Kind.BAD_CLASS, "its category [3]"),
        ({"segmentation": [[1, 1, 2, 2]]}, Kind.FEW_POINTS, "3 points"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, Kind.MALFORMED, "no list of x, y"),
        ({"segmentation": [["a", 1, 2, 2, 3, 3]]}, Kind.MALFORMED, "no list of x, y"),
        ({"segmentation": "all"}, Kind.MALFORMED, "neither polygons nor run lengths"),
        ({"segmentation": [[1, 1, 40, 2, 3, 3]]}, Kind.OUT_OF_RANGE, "beyond the picture"),
        ({"segmentation": [[1, 1, float("nan"), 2, 3, 3]]}, Kind.OUT_OF_RANGE, "beyond the picture"),
        ({"bbox": [1, 1, 40, 2]}, Kind.OUT_OF_RANGE, "bbox goes beyond"),
        ({"bbox": [1, 1, 0, 2]}, Kind.NO_AREA, "no width or height"),
        ({"bbox": [1, 1]}, Kind.MALFORMED, "not x, y, width, height"),
        ({"bbox": None, "segmentation": None}, Kind.MALFORMED, "neither a bbox nor"),
        ({"bbox": None, "segmentation": [[1, 1, 1, 2, 1, 3]]}, Kind.NO_AREA, "no width or height"),
        ({"segmentation": {"size": [8, 16], "counts": [0, 5]}}, Kind.MALFORMED, "do not fill"),
        ({"segmentation": {"size": [8, 16], "counts": [200, -72]}}, Kind.MALFORMED, "do not fill"),
        ({"segmentation": {"size": [8, 16], "counts": "ä"}}, Kind.MALFORMED, "do not fill"),
        ({"segmentation": {"size": [8, 16], "counts": "oooo" * 20 + "0"}}, Kind.MALFORMED, "do not fill"),
        ({"segmentation": {"size": [16, 8], "counts": [128]}}, Kind.MALFORMED, "of a picture of [16, 8]"),
        ({"segmentation": {}}, Kind.MALFORMED, "of a picture of None"),
        ({"bbox": None, "segmentation": {"size": [8, 16], "counts": [128]}}, Kind.NO_AREA, "empty"),
    ],
)
def test_a_bad_object_is_left_out_and_named_and_its_neighbour_stays(folder, fields, kind, words):
    path = written(folder, thing(), thing(id=2, **fields))
    found = opened(path)
    assert (len(found[0].labels), found[0].dropped) == (1, 1)
    (problem,) = found.problems
    assert (problem.kind, problem.path, problem.dropped) == (kind, path, True)
    assert problem.words.startswith("object 2 of picture 7: ")
    assert words in problem.words


def test_what_is_no_object_or_of_no_picture_is_passed_over(folder):
    found = opened(written(folder, thing(), "nonsense", thing(image_id=8), thing(image_id=[7])))
    assert len(found[0].labels) == 1
    assert [problem.words for problem in found.problems] == [
        "picture 8 is not listed; objects of it: 1",
        "picture '[7]' is not listed; objects of it: 1",
    ]


def test_the_second_picture_of_a_number_is_left_out(folder):
    shutil.copy(folder / "images/val2017/7.png", folder / "images/val2017/8.png")
    images = [{"id": 7, "file_name": name} for name in ("7.png", "8.png")]
    found = opened(written(folder, thing(), images=images))
    assert [sample.path.name for sample in found] == ["7.png"]
    assert [(each.kind, each.words, each.dropped) for each in found.problems] == [
        (Kind.DUPLICATE_PICTURE, "'8.png' has the id 7 of '7.png'", True)
    ]


def test_categories_whose_numbers_are_texts_are_matched(folder):
    found = opened(written(folder, thing(category_id="3"), categories=[{"id": "3", "name": "x"}]))
    assert (found.names, found[0].labels.classes.tolist()) == ({0: "x"}, [0])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((160, 80), []),
        ((161.0, 80.0), []),
        (
            (8, 16),
            ["it is 16x8, its labels are for 8x16 and are stretched (was it labelled without its EXIF rotation?)"],
        ),
        ((160, 100), ["it is 16x8, its labels are for 160x100 and are stretched"]),
    ],
)
def test_labels_for_a_picture_of_other_proportions_are_told_of(folder, size, words):
    images = [{"id": 7, "file_name": "7.png", "width": size[0], "height": size[1]}]
    found = opened(written(folder, thing(bbox=[1, 1, 4, 4], segmentation=[[1, 1, 5, 1, 5, 5]]), images=images))
    assert [(each.kind, each.words, each.dropped) for each in found.problems] == [
        (Kind.OTHER_SIZE, each, False) for each in words
    ]
    np.testing.assert_allclose(found[0].labels.boxes[0, 2:], [5 / int(size[0]), 5 / int(size[1])], rtol=1e-6)


def test_coordinates_are_meant_for_the_size_that_the_file_says(folder):
    images = [{"id": 7, "file_name": "7.png", "height": 80, "width": 160}]
    large = thing(bbox=[20, 10, 80, 50], segmentation=[[20, 10, 90, 10, 90, 60]])
    found = opened(written(folder, large, images=images))
    np.testing.assert_allclose(found[0].labels.boxes, [[0.125, 0.125, 0.625, 0.75]])
    assert found[0].size == (8, 16)


@pytest.mark.parametrize(
    ("pictures", "json_file", "name"),
    [
        ("set", "set/_annotations.coco.json", "7.png"),
        ("set/images", "set/annotations/instances_default.json", "7.png"),
        ("set/val2017", "set/annotations/instances_val2017.json", "7.png"),
        ("set/images/val2017", "set/annotations/instances_val2017.json", "val2017/7.png"),
        ("set/images", "set/result.json", "images/7.png"),
        ("set/images", "set/result.json", "7.png"),
        ("set/images/val2017", "set/result.json", "val2017\\7.png"),
    ],
)
def test_pictures_are_found_where_people_keep_them(folder, pictures, json_file, name):
    (folder / pictures).mkdir(parents=True)
    (folder / json_file).parent.mkdir(exist_ok=True)
    shutil.move(folder / "images/val2017/7.png", folder / pictures / "7.png")
    path = written(folder, thing(), name=json_file, images=[{"id": 7, "file_name": name, "height": 8, "width": 16}])
    assert opened(path)[0].path.resolve() == folder / pictures / "7.png"


def test_a_missing_or_corrupt_picture_is_left_out_and_named(folder):
    images = [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 16} for n in (7, 8, 9)]
    (folder / "images/val2017/9.png").write_bytes(b"nothing")
    found = opened(written(folder, thing(), thing(image_id=8), images=[*images, {"id": 10}, 11]))
    assert [sample.image_id for sample in found] == [7]
    kinds = [problem.kind for problem in found.problems]
    assert kinds == [*[Kind.MISSING_PICTURE] * 3, Kind.CORRUPT_PICTURE]
    (folder / "images/val2017/7.png").unlink()
    (folder / "images/val2017/9.png").unlink()
    assert "none of its pictures is there; '7.png' was looked for in" in refusal(
        folder / "annotations/instances_val2017.json"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is no COCO file of instances"),
        ('{"images": [], "annotations": []}', "it is no COCO file of instances"),
        ('{"images": [], "annotations": [], "categories": []}', "it lists no pictures"),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1}]}', "its categories must each have"),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1e999, "name": "a"}]}', "its categories must each"),
    ],
)
def test_a_file_of_another_kind_is_one_clear_line(folder, text, words):
    (folder / "annotations/a.json").write_text(text)
    assert words in refusal(folder / "annotations/a.json")


NUMBERS = st.one_of(st.integers(-3, 20), st.floats(), st.integers(), st.just(10**400))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=6)),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["size", "counts", "a"]), inner),
    max_leaves=12,
)
RUNS = st.fixed_dictionaries({"size": st.just([8, 16]), "counts": st.text(max_size=9) | st.lists(NUMBERS, max_size=5)})
POLYGONS = st.lists(st.lists(st.floats(-1, 17) | NUMBERS, max_size=9), max_size=3)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"category_id": st.sampled_from([3, 9]) | VALUES, "segmentation": POLYGONS | RUNS | VALUES},
            optional={"bbox": st.lists(NUMBERS, min_size=4, max_size=4) | VALUES, "area": VALUES, "iscrowd": VALUES},
        ),
        max_size=4,
    )
)
def test_whatever_an_object_holds_it_is_a_label_or_a_problem(things):
    labels, problems = labels_of(Path("a.json"), things, {3: 0, 9: 1}, (8, 16), (8, 16))
    assert len(labels) + len(problems) == len(things)
    assert all(problem.dropped for problem in problems)
    assert ((labels.boxes >= 0) & (labels.boxes <= 1)).all()
    assert (labels.boxes[:, 2:] > labels.boxes[:, :2]).all()
    for shape in labels.shapes:
        if isinstance(shape, dict):
            assert rle.decode(shape).shape == (8, 16)
        else:
            assert all(((part >= 0) & (part <= 1)).all() and len(part) >= 3 for part in shape)
