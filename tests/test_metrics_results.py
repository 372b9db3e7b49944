"""What users read from the metrics of a set, in usual and in odd sets."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc

import numpy as np
import pytest

from segkit.core import rle
from segkit.core.errors import InputError, MissingDependencyError, OptionError
from segkit.core.metrics import Evaluator, Found, SegmentationMetrics, Truth

SIZE = (100, 120)
NAMES = {0: "cat", 1: "dog", 2: "cow"}


def mask(x1: int, y1: int, x2: int, y2: int) -> rle.Rle:
    return rle.encode(np.ones((y2 - y1, x2 - x1), np.bool_), y1, x1, SIZE)


def found(*rows: tuple[int, float, tuple[int, int, int, int]], masks: bool = True) -> Found:
    """Class, confidence and box of each; its mask fills the box."""
    shapes = [mask(*row[2]) for row in rows] if masks else None
    return Found([row[2] for row in rows], [row[1] for row in rows], [row[0] for row in rows], shapes)


def truth(*rows: tuple[int, tuple[int, int, int, int]], crowd: object = None, masks: bool = True) -> Truth:
    shapes = [mask(*row[1]) for row in rows] if masks else None
    return Truth([row[1] for row in rows], [row[0] for row in rows], crowd, None, shapes)


def metrics_of(*pictures: tuple[Found, Truth], names: object = NAMES) -> SegmentationMetrics:
    evaluator = Evaluator(names)
    for picture in pictures:
        evaluator.add(*picture)
    return evaluator.result()


A, B, C = (10, 10, 50, 50), (60, 10, 100, 50), (10, 60, 40, 95)


@pytest.fixture(scope="module")
def usual() -> SegmentationMetrics:
    """A cat found, a dog taken for a cat, a second dog found, a dog found where there is nothing."""
    return metrics_of(
        (found((0, 0.9, A), (0, 0.8, B)), truth((0, A), (1, B))),
        (found((1, 0.7, A), (1, 0.6, C)), truth((1, A))),
    )


def test_the_figures_have_the_names_that_users_know(usual: SegmentationMetrics) -> None:
    assert [usual.box.map, usual.box.map50, usual.box.map75] == pytest.approx([(1 + 51 / 101) / 2] * 3)
    assert usual.seg.map == pytest.approx(usual.box.map), "the masks fill their boxes"
    assert usual.box.maps.tolist() == pytest.approx([1, 51 / 101, usual.box.map]), "there is no cow: the mean"
    assert usual.box.ap_class_index.tolist() == [0, 1]
    assert usual.box.ap.tolist() == pytest.approx([1, 51 / 101])
    assert usual.box.ap50.tolist() == pytest.approx([1, 51 / 101])
    assert usual.box.all_ap.shape == (2, 10)
    assert usual.box.class_result(1)[2:] == pytest.approx((51 / 101, 51 / 101))
    assert usual.box.mean_results() == [usual.box.mp, usual.box.mr, usual.box.map50, usual.box.map]
    assert usual.box.r.tolist() == pytest.approx([1, 0.5])
    assert usual.fitness == pytest.approx(2 * usual.box.map)
    assert usual.maps == pytest.approx(2 * usual.box.maps)
    assert usual.class_result(0)[3::4] == pytest.approx([1, 1])
    kinds = [f"metrics/{name}({kind})" for kind in "BM" for name in ("precision", "recall", "mAP50", "mAP50-95")]
    assert list(usual.results_dict) == [*kinds, "fitness"] == [*usual.keys, "fitness"]
    assert usual.results_dict["metrics/mAP50(M)"] == usual.seg.map50
    assert usual.mean_results() == list(usual.results_dict.values())[:-1]


def test_f1_is_that_of_precision_and_recall_where_it_is_best(usual: SegmentationMetrics) -> None:
    box = usual.box
    assert box.f1.tolist() == pytest.approx((2 * box.p * box.r / (box.p + box.r)).tolist())
    assert 0 <= box.best_confidence <= 1
    assert box.curves[0] == "Precision-Recall(B)"
    assert usual.seg.curves[1] == "F1-Confidence(M)"
    assert len(usual.curves) == len(usual.curves_results) == 8
    for x, y, *_ in box.curves_results:
        assert x.shape == (1000,)
        assert y.shape == (2, 1000)


def test_the_confusion_matrix_has_what_was_found_in_rows_and_what_is_there_in_columns(
    usual: SegmentationMetrics,
) -> None:
    for confusion in usual.confusion_matrices:
        assert confusion.matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
        assert confusion.normalised()[:, 1].tolist() == [0.5, 0.5, 0, 0]
    assert usual.confusion_matrix.conf == 0.25


def test_unsure_detections_are_missing_in_the_confusion_matrix() -> None:
    metrics = metrics_of((found((0, 0.2, A), (1, 0.3, B)), truth((0, A), (2, C))))
    assert metrics.confusion_matrix.matrix.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]]


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd = (found((0, 0.9, A), (0, 0.8, B)), truth((0, A), (0, (55, 0, 120, 100)), crowd=[False, True]))
    metrics = metrics_of(crowd)
    assert metrics.box.map == metrics.seg.map == pytest.approx(1)
    assert metrics.confusion_matrix.matrix[0].tolist() == [1, 0, 0, 0]
    assert metrics.objects.tolist() == [1, 0, 0]


def test_rows_of_classes_become_tables(usual: SegmentationMetrics) -> None:
    rows = usual.summary(decimals=3)
    assert [row["Class"] for row in rows] == ["cat", "dog"]
    assert (rows[1]["Images"], rows[1]["Instances"]) == (2, 2)
    assert rows[1]["Box-mAP50"] == rows[1]["Mask-mAP50-95"] == 0.505
    for library in ("pandas", "polars"):
        frame = usual.to_df(library, decimals=3)
        assert frame["Class"].to_list() == ["cat", "dog"]
        assert frame["Box-mAP50"].to_list() == [1, 0.505]
    (first, _) = csv.DictReader(io.StringIO(usual.to_csv()))
    assert first["Class"] == "cat"
    assert json.loads(usual.to_json())[0]["Instances"] == 1
    with pytest.raises(OptionError, match="pandas or polars"):
        usual.to_df("excel")


def test_without_a_data_frame_library_the_pip_line_is_given(
    usual: SegmentationMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(MissingDependencyError, match="pip install polars"):
        usual.to_df("polars")


def test_a_short_table_is_printed(usual: SegmentationMetrics) -> None:
    assert str(usual).splitlines()[0] == "2 pictures, 3 objects of 2 classes"
    assert "Mask" in str(usual)
    assert "0.7525" in str(usual)
    assert len(repr(usual.box)) < 200


# -- odd sets -------------------------------------------------------------------------------------------------------


def test_an_empty_set_scores_nothing() -> None:
    metrics = metrics_of()
    assert metrics.box.stats.tolist() == metrics.seg.stats.tolist() == [-1] * 12
    assert metrics.fitness == metrics.box.mp == metrics.box.map_trapezoid == 0
    assert metrics.box.maps.tolist() == [0, 0, 0]
    assert metrics.summary() == json.loads(metrics.to_json()) == []
    assert metrics.to_csv() == ""
    assert str(metrics).startswith("0 pictures")


def test_objects_that_are_all_missed_score_zero() -> None:
    metrics = metrics_of((Found([], [], []), truth((0, A))), (found(), truth()))
    assert metrics.box.stats.tolist() == [0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0, -1]
    assert metrics.seg.map == metrics.seg.mr == metrics.seg.f1.sum() == 0
    assert metrics.confusion_matrix.matrix[3, 0] == 1
    assert metrics.seg.map_trapezoid == 0


@pytest.mark.parametrize("labelled", [truth(), truth((0, A), crowd=[True])])
def test_without_objects_that_count_there_is_no_ap(labelled: Truth) -> None:
    metrics = metrics_of((found((0, 0.9, B)), labelled))
    assert metrics.box.stats.tolist() == metrics.seg.stats.tolist() == [-1] * 12
    assert metrics.box.map == 0
    assert metrics.confusion_matrix.matrix[0, 3] == 1


def test_of_equal_scores_the_first_one_is_taken_first() -> None:
    right_first = metrics_of((found((0, 0.5, A), (0, 0.5, B)), truth((0, A))))
    wrong_first = metrics_of((found((0, 0.5, B), (0, 0.5, A)), truth((0, A))))
    assert right_first.box.map == pytest.approx(1)
    assert wrong_first.box.map == pytest.approx(0.5)


def test_boxes_alone_can_be_scored() -> None:
    metrics = metrics_of(
        (found((0, 0.9, A), masks=False), truth((0, A))),
        (Found([], [], [], []), truth((1, A), masks=False)),
        names=["cat", "dog"],
    )
    assert metrics.box.ap.tolist() == pytest.approx([1, 0])
    assert not metrics.has_masks
    assert len(metrics.results_dict) == 5
    assert metrics.fitness == metrics.box.map
    with pytest.raises(InputError, match="Only boxes were scored"):
        _ = metrics.seg


def test_labels_without_masks_leave_boxes() -> None:
    metrics = metrics_of((found((0, 0.9, A)), truth((0, A), masks=False)))
    assert not metrics.has_masks
    assert metrics.box.map == pytest.approx(1)


def test_sizes_that_the_data_set_does_not_say_are_those_of_the_masks() -> None:
    dot = Truth([A], [0], masks=[mask(10, 10, 12, 12)])
    hit = Found([A], [0.9], [0], [mask(10, 10, 12, 12)])
    small = metrics_of((hit, dot)).seg.stats
    assert small[3:6].tolist() == pytest.approx([1, -1, -1])
    medium = metrics_of((hit, Truth([A], [0], areas=[2000], masks=[mask(10, 10, 12, 12)]))).seg.stats
    assert medium[3:6].tolist() == pytest.approx([-1, 1, -1])


def test_more_can_be_added_after_a_result() -> None:
    evaluator = Evaluator(NAMES)
    evaluator.add(found((0, 0.9, A)), truth((0, A)))
    first = evaluator.result()
    evaluator.add(found((0, 0.95, B)), truth((0, A)))
    assert evaluator.result().box.map < first.box.map == pytest.approx(1)
    assert (first.pictures, first.objects.sum(), first.confusion_matrix.matrix.sum()) == (1, 1, 1)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: Found([A], [np.nan], [0]), "Object 0 has a number in its confidence that is not finite"),
        (lambda: Found([A, (0, 0, np.inf, 1)], [1, 1], [0, 0]), "Object 1 has a number in its boxes"),
        (lambda: Truth([(0, 0, np.nan, 1)], [0]), "not finite"),
        (lambda: Found([A], [0.5, 0.4], [0]), r"shape of confidence is \(2,\)"),
        (lambda: Found([A], [0.5], [0], []), "1 classes and 0 masks"),
        (lambda: Truth([A, B], [0], masks=[mask(*A)]), r"must be \(1, 4\)"),
        (lambda: metrics_of((found((7, 0.5, A)), truth())), "found class 7, but there are names only for 0 to 2"),
        (lambda: metrics_of((found(), truth((-1, A)))), "A label has class -1"),
        (
            lambda: metrics_of(
                (found((0, 0.5, A)), Truth([A], [0], masks=[rle.encode(np.ones((2, 2), bool), 0, 0, (9, 9))]))
            ),
            "is 9x9 .*picture is 100x120",
        ),
        (lambda: metrics_of((Found([A], [1], [0], [{"size": [9, 9], "counts": "52"}]), truth())), "do not fill"),
        (lambda: metrics_of((found((0, 0.5, A)), truth()), (found((0, 0.5, A), masks=False), truth())), "for none"),
        (lambda: Evaluator({}), "no class names"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(attempt: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        attempt()


def test_a_picture_with_300_objects_is_kept_in_20_kilobytes() -> None:
    draw = np.random.default_rng(0)
    boxes = draw.integers(0, 50, (300, 4)) + np.array([0, 0, 50, 50])
    shapes = [rle.encode(draw.random((40, 40)) > 0.5, 5, 5, SIZE) for _ in range(300)]
    picture = Found(boxes, draw.random(300), draw.integers(0, 3, 300), shapes)
    labelled = truth(*((label % 3, A) for label in range(20)))
    evaluator = Evaluator(NAMES)
    evaluator.add(picture, labelled)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        evaluator.add(picture, labelled)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown / 10 <= 20_000
