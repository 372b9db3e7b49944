"""Objects of two models matched one to one: the assignment, the overlaps, and what counts as a difference."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segkit.conformance.assignment import assign
from segkit.conformance.instances import NEAR, Seen, box_iou, mask_iou, match
from segkit.core.inference.masks import InstanceMasks

SIDE = 24
CONF = 0.25


def seen(*objects: tuple[int, int, int, int, float, int]) -> Seen:
    """Objects x1, y1, x2, y2, score, class; each fills its box."""
    masks = np.zeros((len(objects), SIDE, SIDE), np.bool_)
    for mask, (x1, y1, x2, y2, *_) in zip(masks, objects, strict=True):
        mask[y1:y2, x1:x2] = True
    rows = np.array(objects, np.float32).reshape(-1, 6)
    return Seen(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), InstanceMasks.from_dense(masks))


def best_sum(gain: NDArray[np.float64]) -> float:
    """By trying every assignment."""
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows = range(gain.shape[0])
    return max(sum(gain[row, order[row]] for row in rows) for order in permutations(range(gain.shape[1]), len(rows)))


@given(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.integers(-4, 8).map(lambda number: number / 8))
    )
)
def test_an_assignment_is_one_to_one_and_none_is_better(gain: NDArray[np.float64]) -> None:
    pairs = assign(gain)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    assert len(set(rows)) == len(set(columns)) == len(pairs) == min(gain.shape)
    assert sum(gain[pair] for pair in pairs) == pytest.approx(best_sum(gain))


boxes_in = st.tuples(*[st.integers(0, 7)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
)


@given(boxes_in, boxes_in, st.data())
def test_the_overlap_of_crops_is_that_of_whole_masks(
    one: tuple[int, ...], other: tuple[int, ...], data: st.DataObject
) -> None:
    crops, whole = [], []
    for x1, y1, x2, y2 in (one, other):
        mask = data.draw(arrays(np.bool_, (y2 - y1, x2 - x1)))
        crops.append((mask, y1, x1))
        canvas = np.zeros((8, 8), np.bool_)
        canvas[y1:y2, x1:x2] = mask
        whole.append(canvas)
    union = np.count_nonzero(whole[0] | whole[1])
    expected = np.count_nonzero(whole[0] & whole[1]) / union if union else 0.0
    assert mask_iou(*crops) == expected
    assert mask_iou(*crops[::-1]) == expected


def test_box_overlaps_are_those_of_areas_and_a_point_has_none() -> None:
    ones = np.array([[0, 0, 2, 2], [1, 1, 1, 1]], np.float32)
    others = np.array([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 9, 9]], np.float32)
    assert box_iou(ones, others).tolist() == [[pytest.approx(1 / 3), 1, 0], [0, 0, 0]]


def test_a_model_agrees_with_itself() -> None:
    same = seen((0, 0, 9, 9, 0.9, 0), (10, 10, 20, 20, 0.5, 1))
    found = match(same, same, CONF)
    assert [(p.reference, p.other, p.mask_iou, p.box_iou, p.shift, p.score) for p in found.pairs] == [
        (0, 0, 1, 1, 0, 0),
        (1, 1, 1, 1, 0, 0),
    ]
    assert found.missing == found.extra == found.near_missing == found.near_extra == ()


def test_an_object_of_another_class_is_missing_and_extra() -> None:
    found = match(seen((0, 0, 9, 9, 0.9, 0)), seen((0, 0, 9, 9, 0.9, 1)), CONF)
    assert (found.pairs, found.missing, found.extra) == ((), (0,), (0,))


def test_two_objects_never_share_a_partner() -> None:
    found = match(seen((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0)), seen((0, 0, 10, 9, 0.8, 0)), CONF)
    assert [(pair.reference, pair.other) for pair in found.pairs] == [(1, 0)]
    assert found.missing == (0,)


def test_overlapping_objects_are_matched_for_the_largest_sum_not_greedily() -> None:
    # Best alone is 0-0 with .9; then 1 would have nobody, because it meets only 0.
    reference = seen((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 8, 0.8, 0))
    other = seen((0, 0, 10, 9, 0.9, 0), (0, 3, 10, 10, 0.8, 0))
    found = match(reference, other, CONF)
    assert {(pair.reference, pair.other) for pair in found.pairs} == {(0, 1), (1, 0)}


def test_what_hardly_overlaps_is_not_the_same_object() -> None:
    found = match(seen((0, 0, 10, 10, 0.9, 0)), seen((6, 0, 16, 10, 0.9, 0)), CONF)
    assert (found.pairs, found.missing, found.extra) == ((), (0,), (0,))


@pytest.mark.parametrize(("score", "near"), [(CONF + NEAR / 2, True), (CONF + 2 * NEAR, False)])
def test_an_object_that_just_passes_the_threshold_is_counted_apart(score: float, near: bool) -> None:
    found = match(seen((0, 0, 9, 9, score, 0)), seen(), CONF)
    assert (found.near_missing, found.missing) == (((0,), ()) if near else ((), (0,)))
    found = match(seen(), seen((0, 0, 9, 9, score, 0)), CONF)
    assert (found.near_extra, found.extra) == (((0,), ()) if near else ((), (0,)))


def test_figures_of_a_pair_are_the_largest_shift_and_the_signed_score() -> None:
    found = match(seen((0, 0, 10, 10, 0.9, 0)), seen((0, 0, 10, 8, 0.7, 0)), CONF)
    (pair,) = found.pairs
    assert (pair.mask_iou, pair.shift) == (0.8, 2)
    assert pair.score == pytest.approx(-0.2)
