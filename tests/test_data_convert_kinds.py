"""Labels of other tools made label files: mask pictures, LabelMe, CVAT, Pascal VOC; and how each is recognised."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segkit.core.data.convert import convert
from segkit.core.data.convert.kinds import kind_of
from segkit.core.data.dataset import open_dataset
from segkit.core.data.raster import polygon_mask
from segkit.core.errors import OptionError, SourceError

HEIGHT, WIDTH = 80, 120


def picture(path: Path, size=(WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def mask(path: Path, values: np.ndarray, *, palette: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)
    return path


def objects(folder: Path, split: str = "train"):
    """(picture's stem, class name, mask as training sees it) of everything in a converted set."""
    dataset = open_dataset(folder / "data.yaml", split, cache=False)
    assert not dataset.problems
    found = []
    for sample in dataset:
        for category, shape in zip(sample.labels.classes, sample.labels.shapes, strict=True):
            crop = polygon_mask(shape, sample.size)
            frame = np.zeros(sample.size, bool)
            frame[crop.top : crop.top + crop.mask.shape[0], crop.left : crop.left + crop.mask.shape[1]] = crop.mask
            found.append((sample.path.stem, dataset.names[int(category)], frame))
    return found


def scene() -> np.ndarray:
    """Two discs of class 1, a ring of class 3, and an edge that is ignored around the ring."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(values, (20, 20), 12, 1, -1)
    cv2.circle(values, (20, 60), 10, 1, -1)
    cv2.circle(values, (80, 40), 30, 255, -1)
    cv2.circle(values, (80, 40), 28, 3, -1)
    cv2.circle(values, (80, 40), 12, 0, -1)
    return values


@pytest.mark.parametrize("palette", [False, True])
def test_every_region_of_a_class_is_an_object(tmp_path: Path, palette: bool):
    values = scene()
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", values, palette=palette)
    report = convert(tmp_path, tmp_path / "out", names=["disc", "unused", "ring"])
    assert (report.kind, report.objects, report.linked) == ("masks", {"disc": 2, "ring": 1}, 1)
    found = objects(tmp_path / "out")
    discs = [each for _, name, each in found if name == "disc"]
    assert np.array_equal(discs[0] | discs[1], values == 1)
    assert np.array_equal(next(each for _, name, each in found if name == "ring"), values == 3)


def test_without_names_the_values_are_the_names(tmp_path: Path):
    mask(tmp_path / "masks" / "a.png", scene())
    report = convert(tmp_path / "masks", tmp_path / "out")
    assert report.names == ("1", "3")
    assert report.linked == 0


def test_values_without_a_name_and_small_regions_are_counted(tmp_path: Path):
    values = scene()
    values[0, 0] = 1
    mask(tmp_path / "masks" / "a.png", values)
    report = convert(tmp_path / "masks", tmp_path / "out", names=["disc"], least=5)
    assert report.objects == {"disc": 2}
    assert report.skipped == {"regions of a pixel value that has no name": 1, "regions smaller than the least area": 1}


def test_masks_and_pictures_find_each_other_by_their_stems(tmp_path: Path):
    for name in ("train/a.jpg", "valid/b.jpg", "train/alone.jpg"):
        picture(tmp_path / "images" / name)
    for name in ("train/a_mask.png", "valid/b.png", "train/stray.png"):
        mask(tmp_path / "masks" / name, scene())
    report = convert(tmp_path, tmp_path / "out")
    assert report.pictures == {"train": 1, "val": 1}
    assert report.skipped == {"masks without a picture": 1, "pictures without a mask": 1}
    assert {stem for stem, _, _ in objects(tmp_path / "out", "val")} == {"b"}


def test_a_mask_of_another_size_is_one_clear_error(tmp_path: Path):
    for name in "ab":
        picture(tmp_path / "images" / f"{name}.jpg")
    mask(tmp_path / "masks" / "a.png", scene())
    mask(tmp_path / "masks" / "b.png", scene()[:40])
    with pytest.raises(SourceError, match=r"b\.png': it is 120x40 pixels, but the picture 'b\.jpg' is 120x80"):
        convert(tmp_path, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_mask_in_colours_is_refused_and_grey_in_colours_is_not(tmp_path: Path):
    mask(tmp_path / "grey" / "a.png", np.repeat(scene()[..., None], 3, axis=2))
    assert convert(tmp_path / "grey", tmp_path / "out").objects == {"1": 2, "3": 1}
    mask(tmp_path / "coloured" / "a.png", np.random.default_rng(0).integers(0, 9, (9, 9, 3), np.uint8))
    with pytest.raises(SourceError, match="has colours"):
        convert(tmp_path / "coloured", tmp_path / "out2")


def test_instances_numbered_in_one_mask(tmp_path: Path):
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[5:20, 5:30] = 300
    values[5:20, 60:70] = 300  # parts of one object
    values[40:70, 40:90] = 7
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", values)
    report = convert(tmp_path, tmp_path / "out", kind="instances", label="cell")
    assert report.objects == {"cell": 2}
    assert [int(each.sum()) for _, _, each in objects(tmp_path / "out")] == [1500, 525 + 30]  # and the bridge


def test_instances_in_a_file_each_are_recognised_and_named_by_their_files(tmp_path: Path):
    picture(tmp_path / "images" / "a.jpg")
    for number, name in enumerate(("car_1", "car_2", "traffic light 1")):
        values = np.zeros((HEIGHT, WIDTH), np.uint8)
        values[10:20, 30 * number : 30 * number + 20] = 255
        mask(tmp_path / "masks" / "a" / f"{name}.png", values)
    report = convert(tmp_path, tmp_path / "out")
    assert (report.kind, report.objects) == ("instances", {"car": 2, "traffic light": 1})
    assert [int(each.sum()) for _, _, each in objects(tmp_path / "out")] == [200] * 3


def test_instances_take_their_class_from_a_folder(tmp_path: Path):
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "cat" / "a.png", (scene() == 1).astype(np.uint8))
    mask(tmp_path / "masks" / "dog" / "a.png", (scene() == 3).astype(np.uint8))
    report = convert(tmp_path, tmp_path / "out", kind="instances")
    assert report.objects == {"cat": 1, "dog": 1}
    assert sum(report.pictures.values()) == 1


def test_files_that_say_no_class_ask_for_one(tmp_path: Path):
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a" / "07.png", (scene() == 1).astype(np.uint8))
    with pytest.raises(OptionError, match="class=NAME"):
        convert(tmp_path, tmp_path / "out")
    assert convert(tmp_path, tmp_path / "out", label="cell").objects == {"cell": 1}


# LabelMe


def labelme(path: Path, shapes: list, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"shapes": shapes, "imagePath": f"{path.stem}.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
    path.write_text(json.dumps(document))
    return path


def shape(label, points, kind="polygon", group=None):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group}


def test_labelme_shapes(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    labelme(
        tmp_path / "a.json",
        [
            shape("tri", [[10, 10], [40, 10], [10, 40]]),
            shape("box", [[90, 30], [60, 10]], "rectangle"),
            shape("disc", [[80, 60], [90, 60]], "circle"),
            shape("pair", [[1, 50], [11, 50], [11, 60], [1, 60]], group=3),
            shape("pair", [[21, 50], [31, 50], [31, 60], [21, 60]], group=3),
            shape("dot", [[5, 5]], "point"),
            shape("bad", "nothing"),
        ],
    )
    picture(tmp_path / "empty.jpg")
    labelme(tmp_path / "empty.json", [])
    (tmp_path / "other.json").write_text("{}")
    report = convert(tmp_path, tmp_path / "out")
    assert report.kind == "labelme"
    assert report.objects == {"box": 1, "disc": 1, "pair": 1, "tri": 1}
    assert report.skipped == {
        "JSON files that are not LabelMe's": 1,
        "shapes of the type point": 1,
        "shapes with damaged points": 1,
    }
    assert (report.pictures, report.empty, report.linked) == ({"train": 2}, 1, 2)
    back = json.loads(_coco(tmp_path / "out"))
    areas = {each["category_id"]: each["area"] for each in back["annotations"]}
    assert areas == {
        1: pytest.approx(600, abs=0.1),
        2: pytest.approx(np.pi * 100, rel=0.002),
        3: pytest.approx(200, abs=0.1),
        4: pytest.approx(450, abs=0.1),
    }


def _coco(folder: Path) -> str:
    convert(folder, folder / "back.json")
    return (folder / "back.json").read_text()


def test_names_given_decide_the_order_and_what_counts(tmp_path: Path):
    file = labelme(tmp_path / "a.json", [shape(name, [[1, 1], [9, 1], [5, 9]]) for name in "xyz"])
    report = convert(file, tmp_path / "out", names=["z", "x"])
    assert (report.names, report.objects) == (("z", "x"), {"z": 1, "x": 1})
    assert report.skipped == {"objects of a class that is not among the names given": 1}
    assert (tmp_path / "out/labels/train/a.txt").read_text()[0] == "1"


def test_nothing_usable_is_an_error(tmp_path: Path):
    labelme(tmp_path / "a.json", [shape("dot", [[5, 5]], "point")])
    with pytest.raises(SourceError, match=r"not one object .*1 shapes of the type point"):
        convert(tmp_path, tmp_path / "out")


# CVAT

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>tree</name></label><label><name> car </name></label>
<label><name>pose</name><type>skeleton</type></label><label><name>1</name><parent>pose</parent></label></labels></task></meta>
<image id="0" name="sub/a.jpg" width="120" height="80">
  <polygon label="car" points="10.0,10.0;40.0,10.0;40.0,20.0;10.0,20.0" group_id="0"/>
  <polygon label="car" points="10,40;20,40;20,50;10,50" group_id="4"/>
  <polygon label="car" points="30,40;40,40;40,50;30,50" group_id="4"/>
  <box label="tree" xtl="50" ytl="10" xbr="70" ybr="30"/>
  <box label="tree" xtl="50" ytl="10" xbr="70" ybr="30" rotation="30"/>
  <mask label="tree" rle="1, 2, 1, 4" left="100" top="60" width="4" height="2"/>
  <mask label="tree" rle="1, 2, 1, 9" left="100" top="60" width="4" height="2"/>
  <polyline label="car" points="1,1;2,2"/>
  <polygon label="car" points="1,1;2"/>
  <ellipse label="car" cx="80" cy="60" rx="12" ry="4" rotation="90"/>
</image>
<image id="1" name="b.jpg" width="120" height="80" subset="Validation"/>
</annotations>"""


def test_cvat_shapes(tmp_path: Path):
    (tmp_path / "annotations.xml").write_text(CVAT)
    for name in ("sub/a.jpg", "b.jpg"):
        picture(tmp_path / "images" / name)
    report = convert(tmp_path, tmp_path / "out")
    assert (report.kind, report.names) == ("cvat", ("tree", "car"))
    assert report.objects == {"tree": 3, "car": 3}
    assert report.skipped == {
        "masks with damaged run lengths": 1,
        "shapes of the type polyline": 1,
        "shapes with damaged points": 1,
    }
    assert (report.pictures, report.empty, report.linked) == ({"train": 1, "val": 1}, 1, 2)
    rows = (tmp_path / "out/labels/train/sub/a.txt").read_text().splitlines()
    assert sorted(len(row.split()) for row in rows)[0] == 5  # the box
    convert(tmp_path / "out", tmp_path / "back")
    values = json.loads((tmp_path / "back/annotations/instances_train.json").read_text())["annotations"]
    assert sorted(round(each["area"]) for each in values) == [6, 151, 200, 300, 400, 400]
    turned = next(each for each in values if 150 < each["area"] < 152)
    assert turned["bbox"] == pytest.approx([76, 48, 8, 24], abs=0.01)  # upright: a quarter turn


def test_cvat_turns_clockwise(tmp_path: Path):
    box = '<box label="car" xtl="20" ytl="30" xbr="60" ybr="50" rotation="30"/>'
    image = f'<image name="a.jpg" width="120" height="80">{box}</image>'
    (tmp_path / "a.xml").write_text(f"<annotations>{image}</annotations>")
    picture(tmp_path / "a.jpg")
    convert(tmp_path, tmp_path / "out")
    (_, _, frame), *_ = objects(tmp_path / "out")
    assert frame[[48, 31, 32], [56, 24, 56]].tolist() == [True, True, False]  # the right end is lower
    assert frame.sum() == pytest.approx(800, rel=0.08)


def test_cvat_of_a_video_says_what_to_export(tmp_path: Path):
    (tmp_path / "a.xml").write_text('<annotations><meta/><track label="car"><box frame="0"/></track></annotations>')
    with pytest.raises(SourceError, match=r"of a video; export .* 'CVAT for images 1\.1'"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Pascal VOC

VOC = """<annotation><filename>{name}.jpg</filename><size><width>120</width><height>80</height><depth>3</depth></size>
<object><name>dog</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
<object><name>cat</name><bndbox><xmin>61</xmin><ymin>21</ymin><xmax>100</xmax><ymax>x</ymax></bndbox></object>
</annotation>"""


def test_pascal_boxes(tmp_path: Path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.format(name="a"))
    picture(tmp_path / "JPEGImages" / "a.jpg")
    report = convert(tmp_path, tmp_path / "out")
    assert (report.kind, report.objects, report.linked) == ("voc", {"dog": 1}, 1)
    assert report.skipped == {"objects without a name or a box": 1}
    (sample,) = open_dataset(tmp_path / "out/data.yaml", "train", cache=False)
    assert sample.labels.boxes[0] * [120, 80, 120, 80] == pytest.approx([10, 20, 50, 60])


def test_pascal_masks_take_their_class_from_the_boxes(tmp_path: Path):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[20:60, 10:50], values[20:60, 60:100], values[0:5, 0:5] = 1, 2, 255
    for name in "ab":
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(VOC.format(name=name))
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    mask(tmp_path / "SegmentationObject" / "a.png", values, palette=True)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    report = convert(tmp_path, tmp_path / "out")
    assert (report.pictures, report.objects) == ({"val": 1}, {"cat": 1, "dog": 1})
    assert report.skipped == {"pictures without a mask": 1}
    assert {name: int(each.sum()) for _, name, each in objects(tmp_path / "out", "val")} == {"dog": 1600, "cat": 1600}


# What is not trusted

BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB + "<annotations><image/>&y;</annotations>", "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations><image/></annotations>', "document type"),
        ("<annotations><image>", "not XML"),
        ("<a>" * 300, "nests too deeply"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "not XML"),
        ("<a/>", "no CVAT file"),
        ("", "not XML"),
    ],
)
def test_xml_that_is_not_plain_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(SourceError, match=words):
        convert(tmp_path / "a.xml", tmp_path / "out", kind="cvat")
    assert not (tmp_path / "out").exists()


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    folder = tmp_path_factory.mktemp("any")
    for suffix, kind in ((".json", "coco"), (".json", "labelme"), (".xml", "cvat"), (".xml", "voc")):
        (folder / f"a{suffix}").write_bytes(content)
        with pytest.raises(SourceError):
            convert(folder / f"a{suffix}", folder / "out", kind=kind)
    (folder / "a.png").write_bytes(content)
    with pytest.raises(SourceError):
        convert(folder, folder / "out", kind="masks")


words = st.sampled_from(["", "0", "-3", "5", "1e3", "nan", "inf", "1,2;3,4;9,1", "1,2;3", "2,2,2,2", "a"])


@given(st.sampled_from(["polygon", "box", "mask", "ellipse", "tag"]), st.lists(words, min_size=9, max_size=9))
def test_hostile_attributes_are_counted(tmp_path_factory: pytest.TempPathFactory, tag: str, values: list[str]):
    folder = tmp_path_factory.mktemp("cvat")
    names = ("points", "rle", "left", "top", "width", "height", "xtl", "ytl", "xbr")
    given = " ".join(f'{name}="{value}"' for name, value in zip(names, values, strict=True))
    text = f'<{tag} label="a" ybr="7" {given}/><polygon label="a" points="1,1;5,1;5,5"/>'
    (folder / "a.xml").write_text(
        f'<annotations><image name="a.jpg" width="40" height="30">{text}</image></annotations>'
    )
    report = convert(folder / "a.xml", folder / "out")
    assert report.objects["a"] in (1, 2)
    dataset = (folder / "out/labels/train/a.txt").read_text().split()
    assert all(0 <= float(word) <= 1 for word in dataset)


def test_kinds_are_told_by_content(tmp_path: Path):
    for name, text, kind in (
        ("a.json", '{"images": [], "annotations": [], "categories": []}', "coco"),
        ("b.json", '{"shapes": []}', "labelme"),
        ("c.xml", "<annotations><meta/></annotations>", "cvat"),
        ("d.xml", "<annotation><size/></annotation>", "voc"),
        ("e.yaml", "names: [a]", "yolo"),
    ):
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).write_text(text)
        assert kind_of(folder / name) == kind_of(folder) == kind
    for name, text in (("f.json", "[]"), ("g.xml", "<html/>"), ("h.csv", "a,b")):
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="nothing that can be converted"):
            kind_of(tmp_path / name)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SourceError, match="nothing that can be converted"):
        convert(tmp_path / "nothing", tmp_path / "out")


def test_of_two_kinds_one_must_be_chosen(tmp_path: Path):
    (tmp_path / "data.yaml").write_text("names: [a]")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(SourceError, match="two kinds, yolo and coco"):
        kind_of(tmp_path)
    assert (kind_of(tmp_path, "coco"), kind_of(tmp_path, "yolo")) == ("yolo", "coco")


# What tools and people really write


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("names", [None, ["disc"]])
def test_black_and_white_masks_have_one_class(tmp_path: Path, suffix: str, names):
    values = np.where(scene() == 1, np.uint8(255), np.uint8(0))
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / f"a.{suffix}", values)
    report = convert(tmp_path, tmp_path / "out", names=names)
    assert (report.kind, report.objects) == ("masks", {"disc" if names else "255": 2})
    first, second = (each for _, _, each in objects(tmp_path / "out"))
    assert np.count_nonzero((first | second) != (values > 0)) <= (0 if suffix == "png" else 30)


def test_pixels_of_masks_may_be_transparent_or_floats_but_not_parts(tmp_path: Path):
    values = scene()
    seen = np.where(values == 1, np.uint8(255), np.uint8(0))
    mask(tmp_path / "alpha" / "a.png", np.dstack([np.repeat(values[..., None], 3, 2), seen]))
    assert convert(tmp_path / "alpha", tmp_path / "out", kind="masks").objects == {"1": 2}
    mask(tmp_path / "float" / "a.tif", values.astype(np.float32))
    assert convert(tmp_path / "float", tmp_path / "out2", kind="masks").objects == {"1": 2, "3": 1}
    mask(tmp_path / "soft" / "a.tif", values.astype(np.float32) / 3)
    with pytest.raises(SourceError, match="no whole numbers"):
        convert(tmp_path / "soft", tmp_path / "out3", kind="masks")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_and_masks_in_one_folder(tmp_path: Path, suffix: str):
    picture(tmp_path / f"a.{suffix}")
    mask(tmp_path / "a_mask.png", scene())
    report = convert(tmp_path, tmp_path / "out", kind="masks")
    assert (report.objects, report.linked) == ({"1": 2, "3": 1}, 1)
    assert (tmp_path / "out" / "labels" / "train" / "a.txt").is_file()


def test_labelme_masks_and_turned_rectangles(tmp_path: Path):
    values = np.zeros((20, 30), np.uint8)
    values[5:15, 4:25] = 255
    text = base64.b64encode(cv2.imencode(".png", values)[1].tobytes()).decode()
    shapes = [
        shape("cat", [[10.0, 20.0], [39.0, 39.0]], "mask") | {"mask": text},
        shape("cat", [[10.0, 20.0], [38.0, 39.0]], "mask") | {"mask": text},
        shape("cat", [[10, 20], [39, 39]], "mask") | {"mask": "no"},
        shape("dog", [[60, 10], [80, 20], [75, 30], [55, 20]], "rotation"),
        shape("dog", [[60, 50], [80, 50], [80, 60], [60, 60]], "rectangle"),
        shape("dog", [[10**400, 50], [80, 50], [80, 60]]),
    ]
    labelme(tmp_path / "a.json", shapes)
    picture(tmp_path / "a.jpg")
    report = convert(tmp_path, tmp_path / "out")
    assert (report.objects, report.linked) == ({"cat": 1, "dog": 2}, 1)
    assert report.skipped == {"shapes with damaged masks": 2, "shapes with damaged points": 1}
    frame = np.zeros((HEIGHT, WIDTH), bool)
    frame[25:35, 14:35] = True
    assert np.array_equal(objects(tmp_path / "out")[0][2], frame)


def test_pascal_folders_as_other_tools_arrange_them(tmp_path: Path):
    for place, stem in (("train", "a"), ("valid", "b"), ("valid", "c.v2")):
        picture(tmp_path / place / f"{stem}.jpg")
        (tmp_path / place / f"{stem}.xml").write_text(VOC.format(name=stem).replace(f"{stem}.jpg", stem))
    report = convert(tmp_path, tmp_path / "out")
    assert (report.kind, report.pictures, report.linked) == ("voc", {"train": 1, "val": 2}, 3)
    assert [sample.path.name for sample in open_dataset(tmp_path / "out/data.yaml", "val", cache=False)] == [
        "b.jpg",
        "c.v2.jpg",
    ]


def test_pascal_lists_for_detection_are_splits_too(tmp_path: Path):
    for name in "ab":
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(VOC.format(name=name).replace("dog", "a\n dog "))
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    report = convert(tmp_path, tmp_path / "out")
    assert (report.pictures, report.names) == ({"train": 1, "val": 1}, ("a dog",))


def test_a_broken_file_is_the_reason_that_is_told(tmp_path: Path):
    (tmp_path / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    with pytest.raises(SourceError, match=r"a\.xml': it declares a document type"):
        convert(tmp_path, tmp_path / "out")
