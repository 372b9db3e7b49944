"""Validation on a format that always sees one square: what is scored, written, refused, and left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit import YOLO
from segkit.core import rle
from segkit.core.backend.registry import default_registry
from segkit.core.data.convert.records import Item
from segkit.core.data.convert.shapes import one_outline
from segkit.core.data.labels import Labels
from segkit.core.data.tracing import trace
from segkit.core.errors import InputError, OptionError, OutputError, SourceError
from segkit.core.metrics.coding import write_rles
from segkit.core.polygons import outlines
from segkit.core.validation import ValArguments
from segkit.core.validation.agreement import check_names
from segkit.core.validation.shapes import rectangles, squares
from segkit.core.validation.truth import mask_of, truth_of

FAKES = Path(__file__).parent / "fakes"
NAMES = {0: "square", 1: "ring"}
SEEN = "0 .25 .1667 .75 .1667 .75 .8333 .25 .8333"
"""What the fake sees in a picture of 80x60: the middle half of its square input."""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[YOLO]:
    """Sees one square in the middle of whatever it is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    (tmp_path / "m_blob_model").mkdir()
    (tmp_path / "m_blob_model/meta.json").write_text(json.dumps({"imgsz": [64, 64], "names": NAMES}))
    yield YOLO("m_blob_model")
    default_registry.cache_clear()


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write pictures of 80x60 with the label rows given for each, and their data.yaml."""

    def make(*rows: str, names: dict[int, str] = NAMES) -> Path:
        for folder in ("images", "labels"):
            (tmp_path / "set" / folder).mkdir(parents=True)
        for number, text in enumerate(rows):
            picture = np.random.default_rng(number).integers(0, 255, (60, 80, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"set/images/{number + 7:06d}.png"), picture)
            (tmp_path / f"set/labels/{number + 7:06d}.txt").write_text(text + "\n")
        described = "path: .\nval: images\nnames:\n" + "".join(f"  {index}: {name}\n" for index, name in names.items())
        (tmp_path / "set/data.yaml").write_text(described)
        return tmp_path / "set/data.yaml"

    return make


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# -- scoring --------------------------------------------------------------------------------------------------------


def test_what_is_found_exactly_scores_one(model: YOLO, dataset: Callable[..., Path]) -> None:
    metrics = model.val(data=dataset(SEEN, SEEN, ""), plots=False)
    assert metrics.box.map == pytest.approx(1)
    assert metrics.seg.map == pytest.approx(1)
    assert metrics.results_dict["metrics/mAP50-95(M)"] == pytest.approx(1)
    assert metrics.pictures == 3
    assert metrics.confusion_matrix.matrix.tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert set(metrics.speed) == {"preprocess", "inference", "postprocess"}


def test_nothing_is_written_where_nothing_is_asked_for(model: YOLO, dataset: Callable[..., Path]) -> None:
    assert model.val(data=dataset(SEEN), plots=False).save_dir is None
    assert not Path("runs").exists()


def test_batches_of_any_size_score_the_same(model: YOLO, dataset: Callable[..., Path]) -> None:
    data = dataset(*[SEEN, SEEN.replace("0 ", "1 ", 1), ""] * 7)
    scores = [model.val(data=data, plots=False, batch=batch).results_dict for batch in (1, 4, 16)]
    assert scores[0] == scores[1] == scores[2]


def test_single_cls_forgives_another_class(model: YOLO, dataset: Callable[..., Path]) -> None:
    data = dataset(SEEN.replace("0 ", "1 ", 1))
    assert model.val(data=data, plots=False).box.map == 0
    assert model.val(data=data, plots=False, single_cls=True).box.map == pytest.approx(1)


def test_classes_that_are_left_out_are_neither_found_nor_missed(model: YOLO, dataset: Callable[..., Path]) -> None:
    data = dataset(SEEN, SEEN.replace("0 ", "1 ", 1))
    assert model.val(data=data, plots=False).box.map <= 0.5
    metrics = model.val(data=data, plots=False, classes=[0])
    assert metrics.ap_class_index.tolist() == [0]
    assert int(metrics.objects.sum()) == 1


def test_several_views_of_a_picture_are_scored_too(model: YOLO, dataset: Callable[..., Path]) -> None:
    """The fake sees its square in mirrored copies too; in smaller ones, which are cut alike, as well."""
    metrics = model.val(data=dataset(SEEN), plots=False, augment=True)
    assert metrics.box.map50 > 0.9
    assert metrics.pictures == 1


def test_a_picture_that_goes_while_it_is_validated_is_left_out_and_told(
    model: YOLO, dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = dataset(SEEN, SEEN)
    from segkit.core.data.dataset import open_dataset

    opened = open_dataset(data)
    opened[1].path.write_bytes(b"gone")
    from segkit.core.validation import validate_model

    arguments = ValArguments(plots=False)
    metrics = validate_model(model._session(arguments), opened, arguments)
    assert metrics.pictures == 1
    assert metrics.left_out == {"rows": 0, "pictures": 1}
    assert "left out of the scores: 1 picture. The first: " in capsys.readouterr().err


def test_rows_that_cannot_be_used_are_told_where_they_change_the_scores(
    model: YOLO, dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = model.val(data=dataset(f"{SEEN}\n85 .1 .1 .2 .2 .3 .1\nrubbish\n", SEEN), plots=False)
    assert metrics.left_out == {"rows": 2, "pictures": 0}
    said = capsys.readouterr().err
    assert "2 rows" in said
    assert ":2: class out of range" in said
    assert "segkit data check" in said


def test_the_data_set_that_a_model_remembers_is_taken(
    model: YOLO, dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS", str(dataset(SEEN).parent.parent))
    facts = {"imgsz": [64, 64], "names": NAMES, "segkit": {"data": "set.yaml"}}
    Path("m_blob_model/meta.json").write_text(json.dumps(facts))
    assert model.val(plots=False).box.map == pytest.approx(1)


# -- what is written ------------------------------------------------------------------------------------------------


def test_curves_matrix_and_sheets_go_to_a_numbered_folder(model: YOLO, dataset: Callable[..., Path]) -> None:
    data = dataset(SEEN, SEEN, "")
    first, second = (model.val(data=data, batch=2).save_dir for _ in range(2))
    assert (first, second) == (Path("runs/segment/val"), Path("runs/segment/val2"))
    written = files(second)
    assert {"BoxPR_curve.png", "MaskF1_curve.png", "confusion_matrix.png"} <= written
    sheets = {f"val_batch{number}_{kind}.jpg" for number in (0, 1) for kind in ("labels", "pred")}
    assert {name for name in written if name.startswith("val_")} == sheets
    assert not any(name.endswith(".partial") for name in written)
    sheet = cv2.imread(str(second / "val_batch0_pred.jpg"))
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 100


def test_predictions_are_what_cocos_own_tools_take(model: YOLO, dataset: Callable[..., Path]) -> None:
    metrics = model.val(data=dataset(SEEN, ""), plots=False, save_json=True, project="out", name="here")
    assert files(Path("out/here")) == {"predictions.json"}
    rows = json.loads((metrics.save_dir / "predictions.json").read_text())
    assert [row["image_id"] for row in rows] == [7, 8]
    assert rows[0]["bbox"] == [20.0, 10.0, 40.0, 40.0]
    assert (rows[0]["score"], rows[0]["category_id"]) == (0.9, 0)
    mask = rle.decode(rows[0]["segmentation"])
    assert mask.shape == (60, 80)
    assert mask[10:50, 20:60].all()
    assert mask.sum() == 1600


def test_label_files_have_a_row_an_object(model: YOLO, dataset: Callable[..., Path]) -> None:
    folder = model.val(data=dataset(SEEN, ""), plots=False, save_txt=True, save_conf=True).save_dir
    assert files(folder) == {"labels/000007.txt", "labels/000008.txt"}
    row = (folder / "labels/000007.txt").read_text().split()
    assert row[0] == "0"
    assert row[-1] == "0.9"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of POSIX")
@pytest.mark.parametrize("asked", ["save_json=True, plots=False", "save_txt=True, plots=False", "plots=True"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    model: YOLO, dataset: Callable[..., Path], asked: str
) -> None:
    dataset(*[SEEN] * 4)
    code = (
        f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
        "import resource, signal\n"
        "from segkit import YOLO, SegkitError\n"
        "from segkit.core.backend.registry import default_registry\n"
        "import matplotlib.figure, matplotlib.font_manager\n"
        "default_registry().register('blob', 'fake_formats')\n"
        "model = YOLO('m_blob_model')\n"
        "model.val(data='set/data.yaml', plots=False)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))\n"
        f"try: model.val(data='set/data.yaml', {asked})\n"
        "except SegkitError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("OutputError Cannot write 'runs/segment/val/"), done.stderr
    assert done.stdout.endswith(": file too large.\n")
    assert files(Path("runs")) == set() if Path("runs").exists() else True


# -- what is refused ------------------------------------------------------------------------------------------------

BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"iuo": 0.5}, "Unknown option 'iuo' for val. Did you mean 'iou'?"),
    "range": ({"conf": 2}, "conf"),
    "conf without txt": ({"save_conf": True}, "save_txt"),
    "int8": ({"precision": "int8"}, "belongs to export"),
    "size of a fixed file": ({"imgsz": 128}, "fixed to 64x64"),
    "rect of a fixed file": ({"rect": True}, "rect=True changes the input size"),
    "rect and two sides": ({"rect": True, "imgsz": "64,96"}, "one number"),
    "class": ({"classes": [7]}, "classes"),
}


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_that_cannot_be_are_refused(
    model: YOLO, dataset: Callable[..., Path], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError) as refused:
        model.val(data=dataset(SEEN), **options)
    assert words in str(refused.value)
    assert not Path("runs").exists()


def test_a_data_set_is_asked_for_where_none_is_remembered(model: YOLO) -> None:
    with pytest.raises(OptionError, match=r"this model remembers none: give data"):
        model.val()


def test_bad_data_sets_are_one_line_each(model: YOLO, tmp_path: Path, dataset: Callable[..., Path]) -> None:
    Path("list.yaml").write_text("- a\n- b\n")
    Path("empty").mkdir()
    for data, words in {"none.yaml": "no such", "list.yaml": "a mapping", "empty": "holds no data.yaml"}.items():
        with pytest.raises(SourceError, match=words):
            model.val(data=data, plots=False)
    with pytest.raises(SourceError, match="all 1 rows"):
        model.val(data=dataset("0 nonsense"), plots=False)


def test_a_class_beyond_the_names_is_dropped_and_the_rest_scored(model: YOLO, dataset: Callable[..., Path]) -> None:
    metrics = model.val(data=dataset(f"{SEEN}\n{SEEN.replace('0 ', '9 ', 1)}"), plots=False)
    assert int(metrics.objects.sum()) == 1


def test_pictures_without_any_object_cannot_be_scored(model: YOLO, dataset: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="no object is labelled in its split 'val'"):
        model.val(data=dataset("", ""), plots=False)


def test_other_classes_than_the_models_are_refused(model: YOLO, dataset: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"The model has 2 classes \(square, ring\) and 'data.yaml' has 1 class"):
        model.val(data=dataset(SEEN, names={0: "cat"}), plots=False)


def test_names_are_compared_by_index(capsys: pytest.CaptureFixture[str]) -> None:
    check_names({}, {0: "a"}, "d")
    check_names({0: "Traffic_Light"}, {0: "traffic light"}, "d")
    assert capsys.readouterr().err == ""
    check_names({0: "cat", 1: "dog"}, {0: "cat", 1: "Hund"}, "d")
    assert "class 1 is 'dog' in the model and 'Hund' in 'd'; 1 of 2 names differ" in capsys.readouterr().err
    with pytest.raises(InputError, match="another order: class 0 is 'cat'"):
        check_names({0: "cat", 1: "dog"}, {0: "dog", 1: "cat"}, "d")


def test_an_output_folder_that_cannot_be_made_is_one_line(model: YOLO, dataset: Callable[..., Path]) -> None:
    Path("file").touch()
    with pytest.raises(OutputError, match="file"):
        model.val(data=dataset(SEEN), project="file")


# -- shapes and truth -----------------------------------------------------------------------------------------------

SIZES = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=40)


@given(SIZES, st.sampled_from([64, 320, 640]), st.integers(1, 16))
def test_every_picture_has_one_place_in_an_input_that_holds_it(sizes, side, count) -> None:
    groups = list(rectangles(sizes, side, 32, count))
    assert sorted(place for group in groups for place in group.places) == list(range(len(sizes)))
    for group in groups:
        assert len(group.places) <= count
        assert len({box.target for box in group.geometry}) == 1
        for place, box in zip(group.places, group.geometry, strict=True):
            assert box.source == sizes[place]
            assert max(box.resized) == side
            assert min(box.top, box.left, box.bottom, box.right) >= 0
            assert box.target[0] % 32 == box.target[1] % 32 == 0


def test_square_pictures_get_half_a_stride_more() -> None:
    (group,) = rectangles([(500, 500)], 640, 32, 16)
    assert group.geometry[0].target == (672, 672)
    assert (group.geometry[0].resized, group.geometry[0].top) == ((640, 640), 16)


def test_squares_keep_the_order_of_the_pictures() -> None:
    groups = list(squares([(10, 20), (20, 10), (5, 5)], (64, 64), 2))
    assert [group.places for group in groups] == [[0, 1], [2]]


@given(st.integers(0, 2**32 - 1))
def test_a_mask_whose_outline_is_a_text_label_comes_back(seed: int) -> None:
    generator = np.random.default_rng(seed)
    canvas = np.zeros((50, 70), np.uint8)
    corners = generator.integers(0, (70, 50), (6, 2)).astype(np.int32)
    cv2.fillPoly(canvas, [cv2.convexHull(corners)], 1)
    mask = canvas.astype(np.bool_)
    parts = [np.round(part / np.array([70, 50]), 6).astype(np.float32) for part in outlines(mask, 0, 0)]
    (found,) = truth_of(Labels.of([0], [tuple(parts)], [[0, 0, 1, 1]]), (50, 70), coco=False).masks
    back = rle.decode(found)
    np.testing.assert_array_equal(back, mask)


@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_masks_encoded_together_are_those_encoded_one_by_one(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    size = tuple(generator.integers(1, 40, 2).tolist())
    crops = []
    for _ in range(count):
        top, left = (int(generator.integers(0, side)) for side in size)
        shape = [int(generator.integers(0, side - first + 1)) for side, first in zip(size, (top, left), strict=True)]
        crops.append((generator.random(shape) < generator.choice([0, 0.2, 0.9, 1]), top, left))
    crops.append((np.ones(size, np.bool_), 0, 0))
    assert write_rles(crops, size) == [rle.encode(*crop, size) for crop in crops]


def test_an_object_that_has_a_box_alone_fills_it() -> None:
    truth = truth_of(Labels.of([1], [()], [[0.1, 0.2, 0.5, 0.6]]), (50, 100), coco=False)
    mask = rle.decode(truth.masks[0])
    assert mask.sum() == mask[10:30, 10:50].sum() == 800


def test_a_cocos_polygon_is_filled_as_pycocotools_does() -> None:
    from pycocotools import mask as tools

    generator = np.random.default_rng(5)
    for _ in range(50):
        parts = [np.round(generator.uniform(0, (123, 77), (count, 2)), 2) for count in (3, 5)]
        shape = tuple((part / [123, 77]).astype(np.float32) for part in parts)
        expected = tools.merge(tools.frPyObjects([part.ravel().tolist() for part in parts], 77, 123))
        ours = mask_of(shape, (0, 0, 1, 1), (77, 123), coco=True)
        assert ours == {"size": [77, 123], "counts": expected["counts"].decode()}


def test_a_file_that_selects_itself_is_asked_only_for_what_the_user_gave() -> None:
    assert ValArguments().prediction(built_in=False).conf == 0.001
    asked = ValArguments(max_det=50).prediction(built_in=True)
    assert {"conf", "iou", "max_det", "agnostic_nms"} & asked.model_fields_set == {"max_det"}


@given(st.integers(0, 2**32 - 1))
def test_masks_that_were_converted_to_text_labels_are_scored_as_they_were(seed: int) -> None:
    """Also their bridges between parts and to holes, which count as nothing."""
    frame = np.zeros((50, 70), np.bool_)
    frame[8:20, 9:25] = np.random.default_rng(seed).random((12, 16)) < 0.6
    outline = one_outline(Item(0, trace(frame), np.zeros(4)))
    shape = ((outline / (70, 50)).astype(np.float32),)
    (found,) = truth_of(Labels.of([0], [shape], [[0, 0, 1, 1]]), (50, 70), coco=False).masks
    assert np.array_equal(rle.decode(found), frame)
