"""Validation of the trained n weights: COCO's numbers, whatever the format, and the same from COCO's own tools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit import YOLO
from segkit.core.data.dataset import open_dataset
from segkit.core.validation.shapes import rectangles

Score = Callable[..., Any]

TOLERANCE = 0.002
SETS = {
    "coco128-seg": "annotations/instances_train2017.json",
    "coco-val100-seg": "annotations/instances_val2017.json",
}


@pytest.fixture(scope="session")
def files(n_seg_pt: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The weights and two files exported from them: any size, and 640 alone."""
    folder = tmp_path_factory.mktemp("val")
    made = {"pt": n_seg_pt}
    for name, dynamic in (("dynamic", True), ("static", False)):
        made[name] = Path(YOLO(n_seg_pt).export(format="onnx", dynamic=dynamic, output=folder / f"{name}.onnx"))
    return made


@pytest.fixture(scope="session")
def expected(reference: Path) -> dict[str, Any]:
    """What pycocotools made of the peer's detections, and the shapes of its batches."""
    found: dict[str, Any] = json.loads((reference / "metrics.json").read_text())
    return found


@pytest.fixture(scope="session")
def score(files: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Score:
    """Validate one of the files on a set, each combination once, and give its scores; results are saved beside."""
    project = tmp_path_factory.mktemp("runs")

    @cache
    def run(kind: str, name: str, labels: str = "json", **options: Any) -> Any:
        where = data / "datasets" / name / (SETS[name] if labels == "json" else f"{name}.yaml")
        return YOLO(files[kind]).val(data=where, plots=False, save_json=True, project=project, **options)

    return run


def assert_close(metrics: Any, expected: dict[str, Any]) -> None:
    figures = expected["pycocotools"]
    assert metrics.box.map == pytest.approx(first(figures["bbox"]), abs=TOLERANCE)
    assert metrics.seg.map == pytest.approx(first(figures["segm_retina_masks_untruncated"]), abs=TOLERANCE)


def first(stats: Any) -> float:
    return float(next(iter(stats.values())) if isinstance(stats, dict) else stats[0])


@pytest.mark.parametrize("name", SETS)
def test_batches_have_the_published_shapes(name: str, data: Path, expected: dict[str, Any]) -> None:
    sizes = [sample.size for sample in open_dataset(data / "datasets" / name / f"{name}.yaml")]
    shapes = [(len(group.places), *group.geometry[0].target) for group in rectangles(sizes, 640, 32, 16)]
    wanted = expected[name]["peer_default_proto_resolution_masks"]["batch_shapes_n_h_w"]
    assert shapes == [tuple(shape) for shape in wanted]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pt", "dynamic"])
@pytest.mark.parametrize("name", SETS)
def test_scores_are_cocos(name: str, kind: str, score: Score, expected: dict[str, Any]) -> None:
    assert_close(score(kind, name), expected[name])


@pytest.mark.slow
def test_a_fixed_file_scores_as_the_weights_in_its_shape(score: Score) -> None:
    one, two = score("static", "coco-val100-seg"), score("pt", "coco-val100-seg", rect=False)
    assert one.box.map == pytest.approx(two.box.map, abs=TOLERANCE)
    assert one.seg.map == pytest.approx(two.seg.map, abs=TOLERANCE)


@pytest.mark.slow
def test_predictions_score_the_same_with_cocos_own_tools(score: Score, data: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    metrics = score("dynamic", "coco-val100-seg")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "datasets/coco-val100-seg" / SETS["coco-val100-seg"]))
        found = truth.loadRes(str(metrics.save_dir / "predictions.json"))
        for kind, average in (("bbox", metrics.box), ("segm", metrics.seg)):
            evaluation = COCOeval(truth, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            # Boxes are rounded in the file, and of equal scores the one of the lower image id comes first there.
            np.testing.assert_allclose(average.stats[:3], evaluation.stats[:3], atol=2e-4)


@pytest.mark.slow
def test_text_labels_of_coco_come_close(score: Score, expected: dict[str, Any]) -> None:
    """They have no crowds, and boxes of this set are a pixel short; its masks were traced, and come back as they were.

    What is counted by the plain rules is what the peer counts on the same labels.
    """
    metrics, figures = score("dynamic", "coco-val100-seg", labels="text"), expected["coco-val100-seg"]
    assert metrics.seg.map == pytest.approx(
        first(figures["pycocotools"]["segm_retina_masks_untruncated"]), abs=TOLERANCE
    )
    peer = figures["peer_default_proto_resolution_masks"]["results_dict"]
    assert metrics.box.map_trapezoid == pytest.approx(peer["metrics/mAP50-95(B)"], abs=TOLERANCE)
    assert metrics.box.mp == pytest.approx(peer["metrics/precision(B)"], abs=0.005)
    assert metrics.box.mr == pytest.approx(peer["metrics/recall(B)"], abs=0.005)
