"""What can be done with masks: indexing, whole frames, run lengths, outlines, in work that fits the object's size."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segkit.core import rle
from segkit.core.images import Letterbox
from segkit.core.inference.masks import InstanceMasks
from segkit.core.polygons import join, outlines

SIDES = st.integers(1, 24)
pictures = arrays.arrays(np.bool_, st.tuples(SIDES, SIDES))
stacks = arrays.arrays(np.bool_, st.tuples(st.integers(0, 5), SIDES, SIDES))


@st.composite
def crops(draw):
    """A crop, its place, and the size of a picture that holds it."""
    crop = draw(arrays.arrays(np.bool_, st.tuples(st.integers(0, 12), st.integers(0, 12))))
    top, left, below, right = draw(st.tuples(*[st.integers(0, 3)] * 4))
    size = (max(top + crop.shape[0] + below, 1), max(left + crop.shape[1] + right, 1))
    whole = np.zeros(size, np.bool_)
    whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return crop, top, left, whole


@given(stacks)
def test_masks_from_elsewhere_come_back_as_they_were(dense):
    masks = InstanceMasks.from_dense(dense)
    assert (len(masks), masks.frame) == (len(dense), dense.shape[1:])
    assert np.array_equal(masks.dense(), dense)
    assert np.array_equal(masks.native().dense(), dense)


@given(stacks)
def test_a_crop_is_a_window_of_the_whole_frame(dense):
    masks = InstanceMasks.from_dense(dense)
    for index, whole in enumerate(masks.dense()):
        crop, top, left = masks.crop(index)
        assert np.array_equal(whole[top : top + crop.shape[0], left : left + crop.shape[1]], crop)
        assert whole.sum() == crop.sum()


@given(stacks, st.data())
def test_indexing_selects_objects_as_numpy_does(dense, data):
    masks = InstanceMasks.from_dense(dense)
    count = len(dense)
    index = data.draw(
        st.one_of(
            st.slices(count),
            arrays.arrays(np.int64, st.integers(0, 4), elements=st.integers(0, count - 1)) if count else st.just([]),
            arrays.arrays(np.bool_, count),
        )
    )
    wanted = dense[index] if len(np.atleast_1d(np.arange(count)[index])) else dense[:0]
    assert np.array_equal(masks[index].dense(), wanted)
    assert [one.dense()[0].tolist() for one in masks] == dense.tolist()


def test_one_object_by_number_is_a_set_of_one():
    dense = np.eye(3, dtype=bool)[:, None]
    masks = InstanceMasks.from_dense(dense)
    assert np.array_equal(masks[-1].dense(), dense[2:])
    with pytest.raises(IndexError):
        masks[3]


def test_masks_from_elsewhere_are_copies():
    dense = np.ones((1, 4, 4), bool)
    masks = InstanceMasks.from_dense(dense)
    dense[:] = False
    masks.crop(0)[0][:] = False
    assert masks.dense().all()


@given(crops())
def test_run_lengths_are_pycocotools_own(made):
    coco = pytest.importorskip("pycocotools.mask")
    crop, top, left, whole = made
    theirs = coco.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert rle.encode(crop, top, left, whole.shape) == {
        "size": theirs["size"],
        "counts": theirs["counts"].decode("ascii"),
    }


@given(crops())
def test_run_lengths_come_back_as_the_mask(made):
    crop, top, left, whole = made
    encoded = rle.encode(crop, top, left, whole.shape)
    assert np.array_equal(rle.decode(encoded), whole)
    assert rle.runs(crop, top, left, whole.shape)[1::2].sum() == whole.sum()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=40))
def test_compressed_runs_of_any_length_come_back(lengths):
    assert rle.decompress(rle.compress(np.array(lengths, np.int64))).tolist() == lengths


def test_run_lengths_are_at_the_native_size():
    dense = np.zeros((1, 30, 20), bool)
    dense[0, 3:9, 4:8] = True
    encoded = InstanceMasks.from_dense(dense).rle(0)
    assert encoded["size"] == [30, 20]
    assert np.array_equal(rle.decode(encoded), dense[0])


def rectangles(*corners, size=(60, 60)):
    dense = np.zeros((1, *size), bool)
    for x1, y1, x2, y2 in corners:
        dense[0, y1:y2, x1:x2] = True
    return InstanceMasks.from_dense(dense)


def test_an_outline_goes_round_the_outer_pixels():
    masks = rectangles((10, 20, 15, 24))
    assert sorted(masks.polygon(0).tolist()) == [[10, 20], [10, 23], [14, 20], [14, 23]]
    assert masks.polygon(0).dtype == np.float32


def test_parts_are_joined_where_they_are_nearest():
    masks = rectangles((0, 0, 11, 11), (15, 5, 21, 6), (40, 40, 50, 50))
    parts = masks.polygons(0)
    joined = masks.polygon(0)
    assert sorted(map(len, parts)) == [2, 4, 4]
    assert len(joined) == 10 + 2 * 2  # each part more brings the two ends of its bridge
    bridges = [
        tuple(sorted(((x1, y1), (x2, y2)))) for (x1, y1), (x2, y2) in zip(joined, np.roll(joined, -1, 0), strict=True)
    ]
    assert bridges.count(((20, 5), (40, 40))) == 2  # there and back


def test_joining_long_outlines_takes_little_memory():
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    circle = np.rint(1500 * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.int32)
    tracemalloc.start()
    joined = join([circle, circle + np.int32([3100, 0])])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert joined[:2].tolist() == [[1500, 0], [1600, 0]]


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_joined_outline_fills_what_its_parts_fill(mask):
    parts = outlines(mask, 0, 0)
    joined = join(parts)
    assert len(joined) == sum(map(len, parts)) + 2 * max(len(parts) - 1, 0)
    assert {tuple(point) for part in parts for point in part.tolist()} == {tuple(point) for point in joined.tolist()}
    area = sum(signed_area(part) for part in parts)
    assert signed_area(joined) == area  # bridges enclose nothing


def signed_area(points):
    x, y = points[:, 0].astype(np.int64), points[:, 1].astype(np.int64)
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


@given(crops())
def test_outlines_of_a_crop_are_those_of_the_whole_frame(made):
    crop, top, left, whole = made
    found, _ = cv2.findContours(whole.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    assert [part.tolist() for part in outlines(crop, top, left)] == [part[:, 0].tolist() for part in found]


def test_a_filled_outline_gives_the_mask_back():
    masks = rectangles((5, 6, 20, 30), (20, 10, 30, 12))
    canvas = np.zeros(masks.frame, np.uint8)
    cv2.fillPoly(canvas, [masks.polygon(0).astype(np.int32)], 1)
    assert np.array_equal(canvas.astype(bool), masks.dense()[0])


def test_nothing_on_has_no_outline():
    masks = rectangles()
    assert (masks.polygon(0).shape, masks.polygons(0)) == ((0, 2), [])
    assert masks.crop(0)[0].size == 0


def test_outlines_of_network_masks_are_scaled_to_the_picture_and_stay_inside():
    from segkit.core.inference.decode import Detections

    letterbox = Letterbox.fit((128, 64), (64, 64))  # half as large, 16 pixels of border left and right
    whole = Detections(
        np.array([[0, 0, 64, 64]], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        np.ones((1, 1), np.float32),
        np.zeros(1, np.int64),
    )
    masks, _ = InstanceMasks.from_prototypes(np.ones((1, 16, 16), np.float32), whole, letterbox, native=False)
    assert sorted(masks.polygon(0).tolist()) == [[0, 0], [0, 126], [64, 0], [64, 126]]
    native = masks.native()
    assert sorted(native.polygon(0).tolist()) == [[0, 0], [0, 127], [63, 0], [63, 127]]
