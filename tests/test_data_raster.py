"""Masks from outlines: the reference's, pixel by pixel, and what follows from their definition."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit.core.data.raster import Crop, densify, fill, overlapping, polygon_mask, separate, smaller


def corners(low: int, high: int):
    return st.lists(st.tuples(st.integers(low, high), st.integers(low, high)), min_size=1, max_size=9).map(
        lambda points: np.array(points, np.int32)
    )


def framed(crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """A crop in its frame."""
    return separate([crop], size)[0]


@pytest.fixture(scope="module")
def reference_masks(data: Path, reference: Path):
    """(outlines in pixels of 320 x 320, masks one by one, map of all) of each of the reference's four pictures."""
    stored = np.load(reference / "loss_n.npz")
    names = json.loads((reference / "loss_n.json").read_text())["images"]
    found = []
    for number, name in enumerate(names):
        folder = data / "datasets" / "coco128-seg"
        height, width = cv2.imread(str(folder / "images" / "train2017" / name)).shape[:2]
        # As training resizes: the shorter side rounded up, the picture in the middle.
        gain = 320 / max(height, width)
        resized = np.array([math.ceil(width * gain), math.ceil(height * gain)], np.float32)
        rows = (folder / "labels" / "train2017" / name).with_suffix(".txt").read_text().splitlines()
        units = [np.array(row.split()[1:], np.float32).reshape(-1, 2) for row in rows]
        outlines = [unit * resized + (320 - resized) // 2 for unit in units]
        masks = stored["no_masks"][stored["no_batch_idx"] == number]
        found.append((outlines, masks, stored["ov_masks"][number]))
    return found


class TestReference:
    def test_every_mask_is_the_same_to_the_pixel(self, reference_masks):
        for outlines, masks, _ in reference_masks:
            crops = [fill([densify(outline).astype(np.int32)], (320, 320), 4) for outline in outlines]
            assert np.array_equal(separate(crops, (80, 80)), masks)

    def test_maps_are_the_same_up_to_the_order_of_equally_large_objects(self, reference_masks):
        for _, masks, stored in reference_masks:
            crops = [Crop(mask > 0, 0, 0) for mask in masks]
            made = overlapping(crops, (80, 80))
            areas = np.array([0, *masks.sum(axis=(1, 2))[made.order]])
            assert np.array_equal(areas[made.map], areas[stored])
            assert (np.diff(areas[1:].astype(int)) <= 0).all()


class TestFill:
    @given(st.lists(corners(-20, 60), min_size=1, max_size=3))
    def test_is_the_union_of_what_opencv_fills_in_the_whole_frame(self, outlines):
        whole = np.zeros((40, 33), np.uint8)
        for outline in outlines:
            one = np.zeros((40, 33), np.uint8)
            cv2.fillPoly(one, [outline], 1)
            whole |= one
        assert np.array_equal(framed(fill(outlines, (40, 33)), (40, 33)), whole)

    @given(st.lists(corners(0, 70), min_size=1, max_size=2), st.sampled_from([2, 4, 8]))
    def test_smaller_is_opencvs_bilinear_resize_of_the_whole_frame(self, outlines, ratio):
        whole = framed(fill(outlines, (64, 48)), (64, 48))
        resized = cv2.resize(whole, (48 // ratio, 64 // ratio), interpolation=cv2.INTER_LINEAR)
        small = framed(fill(outlines, (64, 48), ratio), (64 // ratio, 48 // ratio))
        assert np.array_equal(small, resized)

    @given(arrays(np.uint8, (9, 6), elements=st.integers(0, 1)))
    def test_an_odd_ratio_takes_the_middle(self, mask):
        assert np.array_equal(smaller(mask, 3), mask[1::3, 1::3] > 0)

    def test_outlines_that_overlap_do_not_cancel_out(self):
        square = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], np.int32)
        assert fill([square, square + 5], (32, 32)).mask[7, 7]

    def test_nothing_comes_of_no_outline_and_of_one_outside(self):
        assert not fill([], (32, 32)).mask.size
        assert not fill([np.array([(40, 2), (50, 2), (50, 9)], np.int32)], (32, 32)).mask.size

    def test_work_is_within_the_objects_box(self):
        crop = fill([np.array([(101, 203), (110, 203), (110, 209)], np.int32)], (4000, 4000))
        assert (crop.mask.shape, crop.top, crop.left) == ((7, 10), 203, 101)


class TestPolygonMask:
    def test_corners_are_cut_to_whole_pixels_and_borders_filled(self):
        square = np.array([(0.19, 0.19), (0.49, 0.19), (0.49, 0.49), (0.19, 0.49)], np.float32)
        crop = polygon_mask([square], (10, 10))
        assert (crop.top, crop.left, crop.mask.tolist()) == (1, 1, [[True] * 4] * 4)

    def test_an_outline_round_the_whole_picture_fills_it(self):
        crop = polygon_mask([np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)], (7, 5))
        assert crop.mask.shape == (7, 5)
        assert crop.mask.all()


class TestDensify:
    @given(corners(0, 300).map(lambda points: points.astype(np.float32)))
    def test_keeps_the_corners_and_adds_only_points_of_the_edges(self, outline):
        dense = densify(outline, 50)
        assert len(dense) >= len(outline)
        rows = {tuple(point) for point in dense.tolist()}
        assert {tuple(point) for point in outline.tolist()} <= rows
        before, after = outline, np.roll(outline, -1, axis=0)
        gaps = np.linalg.norm(dense[:, None] - before, axis=2) + np.linalg.norm(dense[:, None] - after, axis=2)
        assert (np.abs(gaps - np.linalg.norm(after - before, axis=1)).min(axis=1) < 0.05).all()

    def test_an_outline_of_many_corners_stays_as_it_is(self):
        outline = np.random.default_rng(0).uniform(0, 9, (1200, 2)).astype(np.float32)
        assert densify(outline) is outline


class TestEncodings:
    crops = (
        Crop(np.ones((2, 2), np.bool_), 1, 1),
        Crop(np.ones((6, 6), np.bool_), 0, 0),
        Crop(np.zeros((0, 0), np.bool_), 0, 0),
    )

    def test_smaller_objects_lie_above_larger_ones(self):
        made = overlapping(self.crops, (8, 8))
        assert made.order.tolist() == [1, 0, 2]
        assert (np.count_nonzero(made.map == 1), np.count_nonzero(made.map == 2)) == (32, 4)

    def test_one_by_one_they_are_whole_and_in_the_given_order(self):
        assert separate(self.crops, (8, 8)).sum(axis=(1, 2)).tolist() == [4, 36, 0]

    @pytest.mark.parametrize(("count", "kind"), [(255, np.uint8), (256, np.int32)])
    def test_a_map_holds_any_number_of_objects(self, count, kind):
        pixel = np.ones((1, 1), np.bool_)
        made = overlapping([Crop(pixel, index // 20, index % 20) for index in range(count)], (20, 20))
        assert made.map.dtype == kind
        assert made.map.max() == count

    def test_no_objects(self):
        assert overlapping([], (4, 4)).map.sum() == 0
        assert separate([], (4, 4)).shape == (0, 4, 4)
