"""COCO's figures equal pycocotools, on real detections and on drawn scenes; masks are compared by their runs alone."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segkit.core import rle
from segkit.core.metrics import Evaluator, Found, SegmentationMetrics, Truth
from segkit.core.metrics.coding import read_runs
from segkit.core.metrics.curves import curves
from segkit.core.metrics.masks import Cropped, masks_of

SETS = ("coco128-seg", "coco-val100-seg")


def loaded(path: Path) -> Any:
    with gzip.open(path) as file:
        return json.load(file)


def corners(rows: list[dict[str, Any]]) -> list[list[float]]:
    return [[x, y, x + w, y + h] for x, y, w, h in (row["bbox"] for row in rows)]


def as_rle(annotation: dict[str, Any], image: dict[str, Any]) -> rle.Rle:
    shape, size = annotation["segmentation"], (image["height"], image["width"])
    if isinstance(shape, list):
        shape = coco_masks.merge(coco_masks.frPyObjects(shape, *size))
    elif isinstance(shape["counts"], list):
        shape = coco_masks.frPyObjects(shape, *size)
    counts = shape["counts"]
    return {"size": list(shape["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def pictures(truth: dict[str, Any], results: list[dict[str, Any]]) -> Iterator[tuple[Found, Truth]]:
    """COCO's records as ours, in the order of COCO's tools."""
    index = {category["id"]: place for place, category in enumerate(truth["categories"])}
    found, labelled = defaultdict(list), defaultdict(list)
    for row in results:
        found[row["image_id"]].append(row)
    for row in truth["annotations"]:
        labelled[row["image_id"]].append(row)
    for image in sorted(truth["images"], key=lambda image: image["id"]):
        mine, theirs = found[image["id"]], labelled[image["id"]]
        yield (
            Found(
                corners(mine),
                [row["score"] for row in mine],
                [index[row["category_id"]] for row in mine],
                [row["segmentation"] for row in mine],
            ),
            Truth(
                corners(theirs),
                [index[row["category_id"]] for row in theirs],
                [row["iscrowd"] for row in theirs],
                [row["area"] for row in theirs],
                [as_rle(row, image) for row in theirs],
            ),
        )


def evaluated(truth: dict[str, Any], results: list[dict[str, Any]]) -> SegmentationMetrics:
    evaluator = Evaluator([category["name"] for category in truth["categories"]])
    for found, labelled in pictures(truth, results):
        evaluator.add(found, labelled)
    return evaluator.result()


def by_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]], kind: str) -> tuple[Any, dict[int, float]]:
    """The 12 numbers, and the AP of each category that has objects. Areas of masks are their pixels."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        leave_out = "bbox" if kind == "segm" else "segmentation"
        rows = [{key: value for key, value in row.items() if key != leave_out} for row in results]
        judge = COCOeval(known, known.loadRes(rows), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, 2]
    means = {
        category: float(precision[:, :, place].mean())
        for place, category in enumerate(judge.params.catIds)
        if precision[0, 0, place].min() > -1
    }
    return judge.stats, means


@pytest.mark.parametrize("name", SETS)
def test_real_detections_score_as_with_pycocotools(name: str, reference: Path) -> None:
    truth = loaded(reference / f"groundtruth_{name}.json.gz")
    assert any(row["iscrowd"] for row in truth["annotations"])
    metrics = evaluated(truth, loaded(reference / f"detections_{name}.json.gz"))
    known = json.loads((reference / "metrics.json").read_text())[name]["pycocotools"]
    categories = [category["id"] for category in truth["categories"]]
    for average, kind, stats in ((metrics.box, "bbox", "bbox"), (metrics.seg, "segm", "segm_area_from_mask")):
        assert average.stats == pytest.approx(list(known[stats].values()), abs=1e-9)
        found = {str(categories[label]): ap for label, ap in zip(average.ap_class_index, average.ap, strict=True)}
        assert found == pytest.approx(known[f"{kind}_per_category_AP"], abs=1e-9)
    assert metrics.box.map == pytest.approx(known["bbox"]["AP"])
    assert metrics.seg.map50 == pytest.approx(known["segm_area_from_mask"]["AP50"])
    assert metrics.seg.map75 == pytest.approx(known["segm_area_from_mask"]["AP75"])


@pytest.mark.parametrize("name", SETS)
def test_curves_and_the_trapezoid_ap_are_those_of_the_known_trainer(name: str, reference: Path) -> None:
    stored = np.load(reference / f"metrics_stats_{name}.npz")
    known = json.loads((reference / "metrics.json").read_text())[name]["peer_default_proto_resolution_masks"]
    for kind in ("box", "mask"):
        right = np.unpackbits(stored[f"tp_{kind}_packed"], axis=1)[:, :10].astype(bool)
        lines = curves(right, stored["conf"], stored["pred_cls"], np.bincount(stored["target_cls"], minlength=80))
        assert lines.ap.mean() == pytest.approx(known[kind]["mAP50_95"], abs=1e-6)
        assert lines.ap.mean(axis=0) == pytest.approx(known[kind]["ap_per_iou"], abs=1e-6)
        for field, values in (
            ("cls", lines.classes),
            ("n_instances", lines.objects),
            ("p", lines.precision[:, lines.best]),
            ("r", lines.recall[:, lines.best]),
            ("f1", lines.f1[:, lines.best]),
            ("ap50", lines.ap[:, 0]),
            ("ap50_95", lines.ap.mean(axis=1)),
        ):
            assert values == pytest.approx([row[field] for row in known[kind]["per_class"]], abs=1e-6), field


def test_the_plain_rules_find_what_the_known_trainer_finds(reference: Path) -> None:
    # Its boxes are compared before they are rounded for the file, its masks in the network's pixels: nearly equal.
    truth = loaded(reference / "groundtruth_coco128-seg.json.gz")
    metrics = evaluated(truth, loaded(reference / "detections_coco128-seg.json.gz"))
    known = json.loads((reference / "metrics.json").read_text())["coco128-seg"]["peer_save_json_native_masks"]
    for average, kind, near in ((metrics.box, "box", 5e-4), (metrics.seg, "mask", 1e-2)):
        assert average.map_trapezoid == pytest.approx(known[kind]["mAP50_95"], abs=near)
        assert average.map50_trapezoid == pytest.approx(known[kind]["mAP50"], abs=near)
        assert average.mp == pytest.approx(known[kind]["mean_precision"], abs=near)
        assert average.mr == pytest.approx(known[kind]["mean_recall"], abs=near)
    assert metrics.seen_in[0], metrics.objects[0] == (61, 254)


# -- drawn scenes ---------------------------------------------------------------------------------------------------

SIDE = 120
EDGE = st.integers(0, SIDE)
LABELS = st.integers(1, 3)


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[int], rle.Rle]:
    """A box, and a mask of about that place: whole, with holes, or empty."""
    x1, x2 = sorted(draw(st.tuples(EDGE, EDGE)))
    y1, y2 = sorted(draw(st.tuples(EDGE, EDGE)))
    crop = np.ones((y2 - y1, x2 - x1), np.bool_)
    step = draw(st.integers(0, 3))
    if step:
        crop[::step, ::2] = False
    if draw(st.integers(0, 9)) == 0:
        crop[:] = False
    return [x1, y1, x2 - x1, y2 - y1], rle.encode(crop, y1, x1, (SIDE, SIDE))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Pictures with few places, few scores and few classes, so that ties and crowds matter."""
    places = draw(st.lists(objects(), min_size=1, max_size=5))
    count = draw(st.integers(1, 3))
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, count + 1):
        for _ in range(draw(st.integers(0, 5))):
            box, mask = draw(st.sampled_from(places))
            area = draw(st.sampled_from([0, 5, 32**2, 32**2 + 1, 4000, 96**2, 96**2 + 0.5, 3e4]))
            row = {"id": len(annotations) + 1, "iscrowd": int(draw(st.integers(0, 3)) == 0), "area": area}
            annotations.append(
                row | {"image_id": image, "category_id": draw(LABELS), "bbox": box, "segmentation": mask}
            )
        for _ in range(draw(st.integers(0 if image > 1 else 1, 7))):
            box, mask = draw(st.sampled_from(places))
            score = draw(st.sampled_from([0.1, 0.3, 0.5, 0.9]))
            row = {"image_id": image, "category_id": draw(LABELS), "score": score}
            results.append(row | {"bbox": box, "segmentation": mask})
    truth = {
        "info": {},
        "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, count + 1)],
        "annotations": annotations,
        "categories": [{"id": label, "name": f"class {label}"} for label in (1, 2, 3)],
    }
    return truth, results


@settings(max_examples=100)
@given(scenes())
def test_drawn_scenes_score_as_with_pycocotools(scene: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    truth, results = scene
    metrics = evaluated(truth, results)
    for average, kind in ((metrics.box, "bbox"), (metrics.seg, "segm")):
        stats, means = by_pycocotools(truth, results, kind)
        assert average.stats == pytest.approx(stats, abs=1e-9)
        assert {int(label) + 1: ap for label, ap in zip(average.ap_class_index, average.ap, strict=True)} == (
            pytest.approx(means, abs=1e-9)
        )


def test_no_more_than_a_hundred_detections_of_a_class_count_in_a_picture() -> None:
    box = [10, 10, 20, 20]
    mask = rle.encode(np.ones((20, 20), np.bool_), 10, 10, (SIDE, SIDE))
    empty = rle.encode(np.zeros((1, 1), np.bool_), 0, 0, (SIDE, SIDE))
    far = {"bbox": [80, 80, 5, 5], "segmentation": empty}
    results = [{"image_id": 1, "category_id": 1, "score": 0.9 - row / 1000} | far for row in range(130)]
    right = {"bbox": box, "segmentation": mask, "image_id": 1}
    results += [right | {"category_id": 1, "score": 0.01}, right | {"category_id": 2, "score": 0.01}]
    truth = {
        "info": {},
        "images": [{"id": 1, "height": SIDE, "width": SIDE}],
        "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        "annotations": [
            {"id": label, "image_id": 1, "category_id": label, "iscrowd": 0, "area": 400, "bbox": box}
            | {"segmentation": mask}
            for label in (1, 2)
        ],
    }
    metrics = evaluated(truth, results)
    for average, kind in ((metrics.box, "bbox"), (metrics.seg, "segm")):
        assert average.stats == pytest.approx(by_pycocotools(truth, results, kind)[0], abs=1e-12)
        assert average.ap.tolist() == pytest.approx([0, 1])
    assert metrics.box.map_trapezoid > 0.5, "the plain rules count all of them"


# -- runs -----------------------------------------------------------------------------------------------------------

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.tuples(*(st.lists(hnp.arrays(np.bool_, size), max_size=5) for _ in range(2)), st.just(size))
)


@settings(max_examples=100)
@given(MASKS)
def test_runs_know_areas_extents_and_what_masks_share(
    drawn: tuple[list[np.ndarray], list[np.ndarray], tuple[int, int]],
) -> None:
    *sides, size = drawn
    mine, theirs = (read_runs([rle.encode(mask, 0, 0, size) for mask in side], size) for side in sides)
    assert mine.areas.tolist() == [mask.sum() for mask in sides[0]]
    for mask, (x1, y1, x2, y2) in zip(sides[0], mine.extents(), strict=True):
        rows, columns = np.nonzero(mask)
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
        assert (x1, y1, x2, y2) == expected
    for mask, (crop, top, left) in zip(sides[0], map(mine.crop, range(len(mine))), strict=True):
        back = np.zeros(size, np.bool_)
        back[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        assert np.array_equal(back, mask)
    pairs = np.array([(a, b) for a in range(len(sides[0])) for b in range(len(sides[1]))], int).reshape(-1, 2)
    shared = mine.shared(pairs[:, 0], theirs, pairs[:, 1])
    assert shared.tolist() == [(sides[0][a] & sides[1][b]).sum() for a, b in pairs]


# -- masks on demand ------------------------------------------------------------------------------------------------


def on_demand(masks: list[np.ndarray], size: tuple[int, int]) -> Cropped:
    """Every mask in a window that may be larger than it, each of them there twice under one number."""
    crops = [(mask[: size[0]], 0, 0) for mask in masks]
    windows = np.array([[0, 0, size[1], size[0]]] * len(masks), np.float64).reshape(-1, 4)
    return Cropped(crops.__getitem__, windows, size, np.repeat(np.arange(len(masks)), 2))


@settings(max_examples=100)
@given(MASKS)
def test_masks_on_demand_know_what_encoded_ones_know(
    drawn: tuple[list[np.ndarray], list[np.ndarray], tuple[int, int]],
) -> None:
    *sides, size = drawn
    mine, theirs = (on_demand(side, size) for side in sides)
    encoded, others = (masks_of([rle.encode(mask, 0, 0, size) for mask in side for _ in "12"], size) for side in sides)
    pairs = np.array([(a, b) for a in range(len(mine)) for b in range(len(theirs))], int).reshape(-1, 2)
    wanted = encoded.shared(pairs[:, 0], others, pairs[:, 1]).tolist()
    for one, other in ((mine, theirs), (mine, others), (encoded, theirs)):
        assert one.shared(pairs[:, 0], other, pairs[:, 1]).tolist() == wanted
    every = np.arange(len(mine))
    assert mine.areas(every).tolist() == encoded.areas(every).tolist()
    roughly = on_demand(sides[0], size).areas(every, (10, 30))
    for edge in (10, 30):
        assert (np.sign(roughly - edge) == np.sign(encoded.areas(every) - edge)).all()
    assert list(mine) == list(encoded) == [mine[index] for index in range(len(mine))]


@pytest.mark.parametrize("name", SETS)
def test_real_detections_score_alike_encoded_and_on_demand(name: str, reference: Path) -> None:
    truth, results = (loaded(reference / f"{kind}_{name}.json.gz") for kind in ("groundtruth", "detections"))
    names = [category["name"] for category in truth["categories"]]
    one, other = Evaluator(names), Evaluator(names)
    for found, labelled in pictures(truth, results):
        one.add(found, labelled)
        runs = read_runs(found.masks)
        windows = runs.extents()
        masks = Cropped(runs.crop, windows, (runs.height, runs.total // max(runs.height, 1)))
        other.add(Found(found.boxes, found.confidence, found.classes, masks), labelled)
    first, second = one.result(), other.result()
    for average, same in zip((first.box, first.seg), (second.box, second.seg), strict=True):
        assert np.array_equal(average.stats, same.stats)
        assert np.array_equal(average.coco.precision, same.coco.precision)
        assert np.array_equal(average.lines.ap, same.lines.ap)
    assert np.array_equal(first.confusion_matrix.matrix, second.confusion_matrix.matrix)
