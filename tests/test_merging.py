"""Merging what windows show: each object once, whole where some window shows it whole, united where none does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.inference._placed import United
from segkit.core.inference._resample import Window
from segkit.core.inference._sightings import Sightings, strongest
from segkit.core.inference.merging import merged
from segkit.core.inference.tiling import tiles

SIZE = (200, 400)
LEFT, RIGHT, WHOLE = Window(0, 0, 200, 240), Window(0, 160, 200, 400), Window(0, 0, *SIZE)


@dataclass(frozen=True)
class Solid:
    """A mask that fills a window."""

    reach: Window

    @property
    def nbytes(self):
        return 0

    def within(self, window):
        return np.ones((window.bottom - window.top, window.right - window.left), np.bool_)

    def crop(self, native):
        return self.within(self.reach), self.reach.top, self.reach.left


def seen(*rows) -> Sightings:
    """Sightings of solid boxes: (x1, y1, x2, y2, confidence, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    masks = [Solid(Window(int(y1), int(x1), int(y2), int(x2))) for x1, y1, x2, y2 in table[:, :4]]
    return Sightings(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), masks)


def rows(found: Sightings) -> list[list[float]]:
    return np.column_stack([found.xyxy, found.confidence, found.classes]).round(2).tolist()


def merge(*found, agnostic=False):
    return merged(found, SIZE, iou=0.7, agnostic=agnostic)


def test_parts_on_both_sides_of_a_border_become_one_object():
    found = merge((LEFT, seen((100, 50, 240, 90, 0.6, 0))), (RIGHT, seen((160, 50, 320, 90, 0.8, 0))))
    assert rows(found) == [[100, 50, 320, 90, pytest.approx(0.8), 0]]
    mask, top, left = found.masks[0].crop(True)
    assert (mask.all(), mask.shape, top, left) == (True, (40, 220), 50, 100)


def test_a_part_is_dropped_where_another_window_shows_the_object_whole():
    found = merge((LEFT, seen((100, 50, 240, 90, 0.9, 0))), (WHOLE, seen((100, 50, 320, 90, 0.5, 0))))
    assert rows(found) == [[100, 50, 320, 90, pytest.approx(0.9), 0]], "with the better confidence of the two"


def test_an_object_that_two_windows_show_whole_counts_once():
    found = merge((LEFT, seen((170, 50, 220, 90, 0.6, 0))), (RIGHT, seen((171, 50, 221, 90, 0.7, 0))))
    assert rows(found) == [[171, 50, 221, 90, pytest.approx(0.7), 0]]


def test_a_tile_is_believed_before_the_whole_picture_whose_masks_are_coarser():
    found = merge((LEFT, seen((20, 50, 80, 90, 0.6, 0))), (WHOLE, seen((22, 50, 84, 90, 0.7, 0))))
    assert rows(found) == [[20, 50, 80, 90, pytest.approx(0.7), 0]]


def test_boxes_that_one_window_would_not_tell_apart_are_one_object_however_coarse_its_mask():
    wide = seen((20, 50, 81, 90, 0.7, 0))
    wide.masks[0] = Solid(Window(50, 20, 65, 81))
    assert rows(merge((LEFT, seen((20, 50, 80, 90, 0.6, 0))), (WHOLE, wide))) == [
        [20, 50, 80, 90, pytest.approx(0.7), 0]
    ]


def test_parts_that_add_up_to_what_the_whole_picture_shows_keep_their_finer_masks():
    left, right = seen((100, 50, 240, 90, 0.6, 0)), seen((160, 50, 320, 90, 0.6, 0))
    found = merge((LEFT, left), (RIGHT, right), (WHOLE, seen((98, 48, 322, 92, 0.9, 0))))
    assert rows(found) == [[100, 50, 320, 90, pytest.approx(0.9), 0]]
    assert isinstance(found.masks[0], United)
    found = merge((LEFT, left), (RIGHT, right), (WHOLE, seen((98, 20, 322, 92, 0.9, 0))))
    assert rows(found) == [[98, 20, 322, 92, pytest.approx(0.9), 0]], "parts that miss a quarter of it are dropped"


def test_neighbours_whose_boxes_overlap_but_not_their_masks_stay_two():
    left, right = seen((100, 50, 220, 90, 0.6, 0)), seen((168, 50, 320, 90, 0.8, 0))
    left.masks[0] = Solid(Window(50, 100, 70, 220))
    right.masks[0] = Solid(Window(70, 168, 90, 320))
    assert len(merge((LEFT, left), (RIGHT, right))) == 2


def test_what_one_window_tells_apart_is_never_united():
    assert len(merge((LEFT, seen((20, 50, 80, 90, 0.6, 0), (21, 50, 81, 90, 0.5, 0))), (RIGHT, seen()))) == 2


def test_classes_compete_only_when_asked_to():
    found = (LEFT, seen((170, 50, 220, 90, 0.6, 0))), (RIGHT, seen((171, 50, 221, 90, 0.7, 1)))
    assert rows(merge(*found))[0][5] == 1
    assert len(merge(*found)) == 2
    assert len(merge(*found, agnostic=True)) == 1


def test_a_part_that_the_next_tile_did_not_confirm_is_dropped_if_it_could_have_seen_it():
    mostly_shared = seen((150, 50, 240, 90, 0.6, 0))
    assert len(merge((LEFT, mostly_shared), (RIGHT, seen()))) == 0
    hardly_shared = seen((0, 50, 240, 90, 0.6, 0))
    assert len(merge((LEFT, hardly_shared), (Window(0, 200, 200, 400), seen()))) == 1
    assert len(merge((LEFT, mostly_shared), (WHOLE, seen()))) == 1, "the whole picture is too coarse to deny it"


def test_nothing_seen_is_nothing_found():
    found = merge((LEFT, seen()), (RIGHT, seen()), (WHOLE, seen()))
    assert (len(found), found.xyxy.shape) == (0, (0, 4))


@given(
    st.tuples(st.integers(0, 150), st.integers(0, 350), st.integers(20, 200), st.integers(20, 400)),
    st.integers(64, 128),
    st.integers(64, 160),
    st.permutations(range(12)),
)
def test_a_rectangle_cut_by_any_grid_of_tiles_comes_out_as_it_was(corner, height, width, order):
    """Every tile shows the part of it that lies inside; borders cut it in up to a dozen pieces."""
    top, left = corner[:2]
    bottom, right = min(top + corner[2], SIZE[0]), min(left + corner[3], SIZE[1])
    found = []
    for number, window in enumerate(tiles(SIZE, (height, width), 0.3)):
        x1, y1 = max(left, window.left), max(top, window.top)
        x2, y2 = min(right, window.right), min(bottom, window.bottom)
        shown = x2 - x1 >= 2 and y2 - y1 >= 2
        confidence = 0.5 + order[number % 12] / 30
        found.append((window, seen((x1, y1, x2, y2, confidence, 0)) if shown else seen()))
    result = merged(found, SIZE, iou=0.7, agnostic=False)
    assert len(result) == 1
    np.testing.assert_array_equal(result.xyxy[0], [left, top, right, bottom])
    mask, y, x = result.masks[0].crop(True)
    assert (y, x, mask.shape, bool(mask.all())) == (top, left, (bottom - top, right - left), True)


def test_a_union_is_made_in_any_window_without_the_rest():
    parts = United((Solid(Window(0, 0, 10, 10)), Solid(Window(5, 20, 15, 30))))
    assert parts.reach == Window(0, 0, 15, 30)
    whole, _, _ = parts.crop(True)
    assert whole.sum() == 200
    np.testing.assert_array_equal(parts.within(Window(4, 8, 12, 25)), whole[4:12, 8:25])


def test_of_copies_of_one_window_the_most_confident_box_wins():
    plain, mirrored = seen((10, 10, 60, 60, 0.6, 0), (100, 10, 150, 60, 0.9, 0)), seen((11, 10, 61, 60, 0.8, 0))
    found = strongest([plain, mirrored], iou=0.5, limit=10, agnostic=False)
    assert rows(found) == [[100, 10, 150, 60, pytest.approx(0.9), 0], [11, 10, 61, 60, pytest.approx(0.8), 0]]
    assert found.masks[1] is mirrored.masks[0]
    assert len(strongest([plain, mirrored], iou=0.5, limit=1, agnostic=False)) == 1
