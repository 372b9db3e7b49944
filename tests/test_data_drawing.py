"""Labels drawn into a picture stand where they are labelled, whatever they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segkit.core.data.drawing import draw_labels
from segkit.core.data.labels import NOTHING, Labels, box_of
from segkit.core.rle import encode

NAMES = {0: "cat", 1: "dog"}
SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], np.float32)
"""Colours without names, so that only shapes are seen."""


def grey(height=200, width=300):
    return np.full((height, width, 3), 128, np.uint8)


def square(**more):
    return Labels.of([0], [(SQUARE,)], [box_of((SQUARE,))], **more)


def test_a_mask_is_tinted_inside_its_outline_and_nowhere_else():
    drawn = draw_labels(grey(), square(), None)
    inside, outside = drawn[60:140, 85:215], np.delete(drawn, np.s_[48:153], axis=0)
    assert (inside != 128).any(axis=2).all()
    assert (outside == 128).all()


def test_the_picture_that_was_given_stays_as_it_was():
    picture = grey()
    draw_labels(picture, square(), NAMES)
    assert (picture == 128).all()


def test_a_picture_without_objects_is_a_copy():
    picture = grey()
    drawn = draw_labels(picture, NOTHING, NAMES)
    assert (drawn == picture).all()
    assert drawn is not picture


def test_run_lengths_are_drawn_as_the_outline_is_that_they_fill():
    mask = np.zeros((200, 300), bool)
    mask[50:151, 75:226] = True
    labels = Labels.of([0], [encode(mask, 0, 0, (200, 300))], [box_of((SQUARE,))])
    assert (draw_labels(grey(), labels, NAMES) == draw_labels(grey(), square(), NAMES)).all()


def test_run_lengths_of_the_picture_fit_a_smaller_copy_of_it():
    mask = np.zeros((200, 300), bool)
    mask[50:150, 75:225] = True
    labels = Labels.of([0], [encode(mask, 0, 0, (200, 300))], [box_of((SQUARE,))])
    drawn = draw_labels(grey(100, 150), labels, None)
    assert (drawn[50, 75] != 128).any()
    assert (drawn[10, 10] == 128).all()


def test_overlapping_parts_of_one_object_leave_no_hole():
    labels = Labels.of([0], [(SQUARE, SQUARE * 0.5 + 0.25)], [box_of((SQUARE,))])
    drawn = draw_labels(grey(), labels, None)
    assert (drawn[100, 150] == drawn[60, 90]).all()


def test_of_a_crowd_and_of_a_box_only_lines_are_drawn():
    for labels in (square(crowd=[True]), Labels.of([0], [()], [box_of((SQUARE,))])):
        drawn = draw_labels(grey(), labels, None)
        assert (drawn[100, 150] == 128).all()
        assert (drawn[50, 100:200] != 128).any()


def test_a_class_without_a_name_is_told_by_its_number():
    named = draw_labels(grey(), square(), {0: "0"})
    assert (draw_labels(grey(), square(), {}) == named).all()


@given(
    st.lists(arrays.arrays(np.float32, (4, 2), elements=st.floats(-3, 3, width=32)), max_size=4),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_labels_anywhere_can_be_drawn_into_a_picture_of_any_size(outlines, size):
    labels = Labels.of(range(len(outlines)), [(each,) for each in outlines], [box_of((each,)) for each in outlines])
    drawn = draw_labels(grey(*size), labels, NAMES)
    assert (drawn.shape, drawn.dtype) == ((*size, 3), np.uint8)


def test_very_many_objects_and_a_scribble_of_very_many_corners_are_drawn_all_the_same():
    rng = np.random.default_rng(0)
    scribble = rng.random((100_000, 2), np.float32)
    many = [rng.random((3, 2), np.float32) * 0.01 for _ in range(20_000)]
    shapes = [(scribble,), *((each,) for each in many)]
    labels = Labels.of([0] * len(shapes), shapes, [box_of(shape) for shape in shapes])
    assert (draw_labels(grey(), labels, NAMES) != 128).any()
