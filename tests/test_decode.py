"""What the selection of detections promises: thresholds, limits, order, and the reference's choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.backend import Anchors, Selected
from segkit.core.backend.options import MAX_CANDIDATES
from segkit.core.inference.decode import select

CASES = [
    f"{image}_conf{conf}_{kind}_{labels}"
    for image in ("bus", "crowd", "val")
    for conf in ("0.25", "0.001")
    for kind in ("classaware", "agnostic")
    for labels in ("single", "multi")
]
# Anchors 390 and 391, class 45, overlap by an IoU of .7004. The reference computes it 45 * 7680 pixels away from the
# origin, where float32 moves in steps of 1/32, and finds it not above .7: it keeps 390 as well, which then suppresses
# others. (anchor, class) of those only it has, and of those only we have.
ROUNDED_IN_THE_REFERENCE = {
    "val_conf0.001_classaware_single": ({(390, 45), (1203, 60)}, {(710, 45), (1107, 45)}),
    "val_conf0.001_classaware_multi": ({(390, 45)}, {(710, 45)}),
}
PREDICT = {"conf": 0.25, "iou": 0.7, "max_det": 300}


@pytest.fixture(scope="module")
def stored(reference):
    with np.load(reference / "nms.npz") as nms, np.load(reference / "forward_n.npz") as forward:
        return {**nms, "pred_bus": forward["output0"]}


def anchors(output0, coefficients=32):
    return Anchors.from_joined(output0, np.zeros((len(output0), coefficients, 1, 1), np.float32))


def decided(stored, case):
    image, conf, kind, labels = case.split("_")
    return select(
        anchors(stored[f"pred_{image}"]),
        conf=float(conf.removeprefix("conf")),
        iou=0.7,
        max_det=300,
        agnostic=kind == "agnostic",
        multi_label=labels == "multi",
    )[0]


@pytest.mark.parametrize("case", [case for case in CASES if case not in ROUNDED_IN_THE_REFERENCE])
def test_the_reference_keeps_the_same_boxes_in_the_same_order(stored, case):
    found = decided(stored, case)
    assert found.anchors.tolist() == stored[f"{case}_anchor"].tolist()
    assert found.classes.tolist() == stored[f"{case}_cls"].tolist()
    assert np.array_equal(found.confidence, stored[f"{case}_conf"])
    assert np.array_equal(found.xyxy, stored[f"{case}_boxes"])
    if f"{case}_coef" in stored:
        assert np.array_equal(found.coefficients, stored[f"{case}_coef"])


@pytest.mark.parametrize("case", ROUNDED_IN_THE_REFERENCE)
def test_only_boxes_at_the_edge_of_the_threshold_differ_from_the_reference(stored, case):
    found = decided(stored, case)
    ours = set(zip(found.anchors.tolist(), found.classes.tolist(), strict=True))
    theirs = set(zip(stored[f"{case}_anchor"].tolist(), stored[f"{case}_cls"].tolist(), strict=True))
    assert (theirs - ours, ours - theirs) == ROUNDED_IN_THE_REFERENCE[case]


def scene(*objects, classes=3, spare=4):
    """Anchors of one picture: (cx, cy, w, h, {class: score}) each, then a few that hold nothing."""
    out = np.zeros((1, 4 + classes + 2, len(objects) + spare), np.float32)
    for column, (cx, cy, w, h, scores) in enumerate(objects):
        out[0, :4, column] = cx, cy, w, h
        for label, score in scores.items():
            out[0, 4 + label, column] = score
        out[0, -2:, column] = column, -column
    return anchors(out, coefficients=2)


def test_a_detection_carries_box_class_coefficients_and_anchor():
    (found,) = select(scene((1, 1, 1, 1, {}), (20, 30, 8, 6, {1: 0.5, 2: 0.75})), **PREDICT)
    assert found.xyxy.tolist() == [[16, 27, 24, 33]]
    assert (found.confidence.tolist(), found.classes.tolist(), found.anchors.tolist()) == ([0.75], [2], [1])
    assert found.coefficients.tolist() == [[1, -1]]
    assert [array.dtype for array in (found.xyxy, found.confidence, found.classes, found.coefficients)] == [
        np.float32,
        np.float32,
        np.int64,
        np.float32,
    ]


def test_the_score_threshold_is_strict():
    raw = scene((20, 20, 8, 8, {0: 0.25}), (60, 20, 8, 8, {0: 0.2500001}))
    assert select(raw, **PREDICT)[0].anchors.tolist() == [1]


def test_the_overlap_threshold_is_strict():
    raw = scene((8, 8, 8, 8, {0: 0.9}), (8, 10, 8, 4, {0: 0.8}))  # IoU exactly one half
    assert len(select(raw, conf=0.25, iou=0.5, max_det=300)[0]) == 2
    assert len(select(raw, conf=0.25, iou=0.4999, max_det=300)[0]) == 1


def test_classes_compete_only_when_agnostic():
    raw = scene((8, 8, 8, 8, {0: 0.9}), (8, 8, 8, 8, {1: 0.8}))
    assert select(raw, **PREDICT)[0].classes.tolist() == [0, 1]
    assert select(raw, **PREDICT, agnostic=True)[0].classes.tolist() == [0]


def test_a_class_filter_keeps_objects_whose_best_class_is_wanted():
    raw = scene((8, 8, 8, 8, {0: 0.9, 1: 0.8}), (40, 8, 8, 8, {1: 0.7}), (80, 8, 8, 8, {2: 0.6}))
    assert select(raw, **PREDICT, classes=[1])[0].anchors.tolist() == [1]
    assert select(raw, **PREDICT, classes=(2, 0))[0].anchors.tolist() == [0, 2]
    assert select(raw, **PREDICT, classes=[1], multi_label=True)[0].anchors.tolist() == [0, 1]


def test_multi_label_gives_every_class_above_the_threshold():
    raw = scene((8, 8, 8, 8, {0: 0.9, 1: 0.8, 2: 0.1}))
    found = select(raw, **PREDICT, multi_label=True)[0]
    assert (found.classes.tolist(), found.anchors.tolist()) == ([0, 1], [0, 0])


def test_the_best_are_kept_when_there_are_too_many():
    raw = scene(*((100 * i, 8, 8, 8, {0: 0.3 + 0.1 * i}) for i in range(6)))
    assert select(raw, conf=0.25, iou=0.7, max_det=2)[0].anchors.tolist() == [5, 4]
    assert select(raw, **PREDICT, max_candidates=3)[0].anchors.tolist() == [5, 4, 3]
    assert MAX_CANDIDATES == 30_000
    assert len(select(raw, conf=0.25, iou=0.7, max_det=0)[0]) == 0


def test_equal_scores_go_by_anchor_then_class():
    raw = scene(*((100 * i, 8, 8, 8, {2: 0.5, 1: 0.5}) for i in range(3)))
    assert select(raw, **PREDICT)[0].classes.tolist() == [1, 1, 1]
    found = select(raw, **PREDICT, multi_label=True)[0]
    assert found.anchors.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.classes.tolist() == [1, 2, 1, 2, 1, 2]


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_is_not_a_number_is_never_selected(multi_label):
    nan, inf = np.nan, np.inf
    raw = scene(
        (8, 8, 8, 8, {0: nan}),
        (8, 8, 8, 8, {0: nan, 1: 0.5}),
        (80, nan, 8, 8, {0: 0.9}),
        (200, 8, inf, 8, {0: 0.9}),
        (300, 8, 8, 8, {0: inf}),
    )
    found = select(raw, **PREDICT, multi_label=multi_label)[0]
    assert (found.anchors.tolist(), found.classes.tolist()) == ([1], [1])


def test_absurdly_large_boxes_do_no_harm():
    raw = scene((0, 0, 3e38, 3e38, {0: 0.9}), (8, 8, 8, 8, {0: 0.8}))
    assert len(select(raw, **PREDICT)[0]) == 2


def test_nothing_found_gives_empty_arrays_of_the_right_shapes():
    (found,) = select(scene(), **PREDICT)
    assert (found.xyxy.shape, found.coefficients.shape, len(found)) == ((0, 4), (0, 2), 0)


def noise(seed, batch=2, classes=5, count=200):
    rng = np.random.default_rng(seed)
    out = rng.random((batch, 4 + classes + 8, count), np.float32)
    out[:, :2] *= 100
    out[:, 2:4] *= 40
    return out


def strided(output0):
    """The same numbers as three views with other strides each."""
    last = np.ascontiguousarray(output0.transpose(0, 2, 1)).transpose(0, 2, 1)
    wide = np.repeat(output0, 2, axis=2)[:, :, ::2]
    back = np.ascontiguousarray(output0[:, ::-1, ::-1])[:, ::-1, ::-1]
    return [last, wide, back]


def test_views_of_any_strides_give_the_same_result_and_stay_as_they_are():
    output0 = noise(1)
    before = output0.copy()
    expected = select(anchors(output0, 8), conf=0.5, iou=0.5, max_det=50, multi_label=True)
    for view in strided(output0):
        for found, wanted in zip(
            select(anchors(view, 8), conf=0.5, iou=0.5, max_det=50, multi_label=True), expected, strict=True
        ):
            for name in vars(wanted):
                assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
                assert not np.shares_memory(getattr(found, name), view)
    assert np.array_equal(output0, before)


def test_pictures_of_a_batch_are_independent():
    output0 = noise(2, batch=3)
    together = select(anchors(output0, 8), conf=0.5, iou=0.5, max_det=50)
    alone = [select(anchors(output0[i : i + 1], 8), conf=0.5, iou=0.5, max_det=50)[0] for i in range(3)]
    for found, wanted in zip(together, alone, strict=True):
        assert np.array_equal(found.xyxy, wanted.xyxy)


def test_detections_can_be_indexed():
    (found,) = select(anchors(noise(3, batch=1), 8), conf=0.9, iou=0.9, max_det=50)
    some = found[np.array([2, 0])]
    assert some.anchors.tolist() == [found.anchors[2], found.anchors[0]]
    assert np.array_equal(found[:1].coefficients, found.coefficients[:1])


def one_by_one(output0, conf, iou, agnostic, multi_label):
    """The rules, a pair at a time."""
    boxes, scores = output0[:4].T, output0[4:-8].T
    candidates = []
    for anchor, row in enumerate(scores):
        labels = range(len(row)) if multi_label else [int(row.argmax())]
        candidates += [(float(row[label]), anchor, label) for label in labels if row[label] > np.float32(conf)]
    candidates.sort(key=lambda item: (-item[0], item[1], item[2]))
    kept = []
    for score, anchor, label in candidates:
        cx, cy, w, h = boxes[anchor]
        box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], np.float32)
        if all((label != k[2] and not agnostic) or overlap(box, k[3]) <= np.float32(iou) for k in kept):
            kept.append((score, anchor, label, box))
    return [(anchor, label) for _, anchor, label, _ in kept]


def overlap(a, b):
    side = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), np.float32(0))
    shared = side[0] * side[1]
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@given(
    seed=st.integers(0, 10**6),
    conf=st.floats(0.3, 0.95),
    iou=st.floats(0.05, 0.95),
    agnostic=st.booleans(),
    multi_label=st.booleans(),
)
def test_blocks_of_boxes_decide_as_one_box_at_a_time(seed, conf, iou, agnostic, multi_label):
    output0 = noise(seed, batch=1, classes=3, count=150)
    (found,) = select(anchors(output0, 8), conf=conf, iou=iou, max_det=1000, agnostic=agnostic, multi_label=multi_label)
    chosen = list(zip(found.anchors.tolist(), found.classes.tolist(), strict=True))
    assert chosen == one_by_one(output0[0], conf, iou, agnostic, multi_label)


def selected(*rows):
    array = np.array(rows, np.float32).reshape(-1, 8)
    return Selected(
        (array[:, :4],),
        (array[:, 4],),
        (array[:, 5].astype(np.int64),),
        (array[:, 6:],),
        np.zeros((1, 2, 1, 1), np.float32),
    )


def test_a_selection_made_in_the_graph_passes_through_the_users_limits():
    raw = selected([0, 0, 9, 9, 0.9, 1, 5, 6], [0, 0, 9, 9, 0.8, 2, 7, 8], [0, 0, 9, 9, 0.25, 1, 9, 9])
    (found,) = select(raw, **PREDICT)  # the same box twice, of two classes
    assert (found.classes.tolist(), found.anchors.tolist()) == ([1, 2], [-1, -1])
    assert found.coefficients.tolist() == [[5, 6], [7, 8]]
    assert select(raw, **PREDICT, classes=[2])[0].classes.tolist() == [2]
    assert select(raw, conf=0.1, iou=0.7, max_det=1)[0].confidence.tolist() == pytest.approx([0.9])
    assert select(raw, **PREDICT, agnostic=True)[0].classes.tolist() == [1]


def test_a_lower_overlap_than_in_the_graph_drops_more_of_what_it_selected():
    raw = selected([4, 4, 12, 12, 0.9, 1, 1, 1], [4, 8, 12, 12, 0.8, 1, 2, 2], [40, 4, 48, 12, 0.7, 1, 3, 3])
    assert len(select(raw, conf=0.25, iou=0.5, max_det=300)[0]) == 3  # IoU exactly one half
    (found,) = select(raw, conf=0.25, iou=0.4999, max_det=300)
    assert found.coefficients.tolist() == [[1, 1], [3, 3]]
    assert len(select(raw, conf=0.25, iou=0.4999, max_det=1)[0]) == 1


def test_a_selection_made_in_the_graph_is_ordered_and_cleaned():
    raw = selected([0, 0, 9, 9, 0.5, 1, 0, 0], [0, 0, 9, 9, np.nan, 1, 0, 0], [0, 0, np.nan, 9, 0.9, 1, 0, 0])
    raw_worse_first = selected([0, 0, 9, 9, 0.5, 1, 0, 0], [0, 0, 9, 9, 0.9, 0, 0, 0])
    assert select(raw, **PREDICT)[0].confidence.tolist() == [0.5]
    assert select(raw_worse_first, **PREDICT)[0].classes.tolist() == [0, 1]
