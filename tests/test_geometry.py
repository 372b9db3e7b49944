"""Letterbox geometry is one mapping in both directions, and the network's input is the reference's, bit for bit."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.core.errors import OptionError
from segkit.core.images import PAD_VALUE, STRIDE, ImageBatch, Letterbox, parse_imgsz, round_up

SIDE = st.integers(1, 5000)
SIZES = st.tuples(SIDE, SIDE)
TARGETS = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda size: (size[0] * 32, size[1] * 32))
BOXES = SIZES, TARGETS, st.booleans()


@given(SIDE, st.integers(1, 64))
def test_rounding_up_gives_the_least_multiple(side, multiple):
    rounded = round_up(side, multiple)
    assert rounded % multiple == 0
    assert side <= rounded < side + multiple


@given(*BOXES)
def test_the_picture_lies_inside_the_target_and_touches_two_of_its_sides(source, target, minimal):
    box = Letterbox.fit(source, target, minimal=minimal)
    assert min(box.top, box.bottom, box.left, box.right) >= 0
    assert box.top + box.resized[0] + box.bottom == box.target[0]
    assert box.left + box.resized[1] + box.right == box.target[1]
    assert 0 <= box.bottom - box.top <= 1  # centred; an odd pixel goes to the bottom and the right
    assert 0 <= box.right - box.left <= 1
    assert box.resized[0] == target[0] or box.resized[1] == target[1]


@given(*BOXES)
def test_both_sides_are_scaled_alike_but_for_rounding(source, target, minimal):
    box = Letterbox.fit(source, target, minimal=minimal)
    gain = min(target[0] / source[0], target[1] / source[1])
    for resized, side in zip(box.resized, source, strict=True):
        assert abs(resized - side * gain) <= 0.5 + 1e-9 or resized == 1


@given(SIZES, TARGETS)
def test_the_minimal_target_has_less_than_a_stride_to_spare(source, target):
    box = Letterbox.fit(source, target, minimal=True)
    assert box.target[0] % STRIDE == box.target[1] % STRIDE == 0
    assert box.target[0] <= target[0]
    assert box.target[1] <= target[1]
    assert box.target[0] - box.resized[0] < STRIDE
    assert box.target[1] - box.resized[1] < STRIDE
    assert box.resized == Letterbox.fit(source, target).resized


@given(*BOXES)
def test_the_whole_picture_maps_to_its_place_and_back(source, target, minimal):
    box = Letterbox.fit(source, target, minimal=minimal)
    height, width = source
    whole = np.array([[0, 0, width, height]], np.float32)
    placed = box.to_target(whole)
    place = [box.left, box.top, box.left + box.resized[1], box.top + box.resized[0]]
    assert np.allclose(placed, [place], atol=1e-3)
    assert np.allclose(box.to_source(placed), whole, rtol=1e-6, atol=1e-3)


@given(*BOXES, st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=8))
def test_boxes_come_back_from_the_target(source, target, minimal, units):
    box = Letterbox.fit(source, target, minimal=minimal)
    height, width = source
    boxes = np.array(units) * [width, height, width, height]
    back = box.to_source(box.to_target(boxes), clip=False)
    # float32 has 24 bits for a target coordinate; a step of the target is 1 / scale of the source.
    step = max(box.target) * 2**-23 / min(box.scale)
    assert np.abs(back - boxes).max() <= step + max(source) * 2**-23


@given(*BOXES, st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), min_size=1, max_size=8))
def test_boxes_are_clipped_to_the_picture_unless_told_otherwise(source, target, minimal, boxes):
    box = Letterbox.fit(source, target, minimal=minimal)
    height, width = source
    raw = box.to_source(np.array(boxes), clip=False)
    assert np.array_equal(box.to_source(np.array(boxes)), np.clip(raw, 0, [width, height, width, height]))


@given(SIZES)
def test_network_input_maps_to_itself(size):
    box = Letterbox.identity(size)
    points = np.array([[0, 0, size[1], size[0]]], np.float32)
    assert np.array_equal(box.to_target(points), points)
    assert np.array_equal(box.to_source(points), points)


@pytest.mark.parametrize(
    ("given_", "size"),
    [(640, (640, 640)), ("640", (640, 640)), ((480, 640), (480, 640)), ([480, 640], (480, 640)), ([320], (320, 320))]
    + [(text, (480, 640)) for text in ("480,640", "480x640", "480 640", "(480, 640)", "[480,640]")],
)
def test_an_input_size_is_understood_as_users_write_it(given_, size):
    assert parse_imgsz(given_) == size


@pytest.mark.parametrize("wrong", [0, -32, "", "a", (), (1, 2, 3), 64.5, None, True, 10**6, (640, 0)])
def test_an_impossible_input_size_is_refused_in_one_line(wrong):
    with pytest.raises(OptionError, match="imgsz") as caught:
        parse_imgsz(wrong)
    assert "\n" not in str(caught.value)


def test_the_bus_becomes_the_references_input_bit_for_bit(reference, bus):
    facts = json.loads((reference / "forward_n.meta.json").read_text())["letterbox"]
    batch = ImageBatch([cv2.imread(str(bus))], (640, 640))
    (box,) = batch.geometry
    assert (list(box.source), list(box.target)) == (facts["orig_shape"], facts["new_shape"])
    assert list(box.resized) == facts["new_unpad"][::-1]
    assert [box.top, box.bottom, box.left, box.right] == [facts[side] for side in ("top", "bottom", "left", "right")]
    with np.load(reference / "forward_n.npz") as stored:
        pixels = stored["input_u8"]
    assert np.array_equal(batch.u8_nhwc.transpose(0, 3, 1, 2), pixels)
    assert np.array_equal(batch.f32_nchw, pixels.astype(np.float32) / np.float32(255))


def pictures(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_every_pixel_of_the_input_is_border_or_resized_picture(source, cells, minimal, seed):
    (picture,) = pictures(source, seed=seed)
    batch = ImageBatch([picture], (cells[0] * 32, cells[1] * 32), minimal=minimal)
    (box,) = batch.geometry
    height, width = box.resized
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    canvas = np.full((*box.target, 3), PAD_VALUE, np.uint8)
    canvas[box.top : box.top + height, box.left : box.left + width] = resized
    assert np.array_equal(batch.u8_nhwc[0], canvas)
    assert np.array_equal(np.rint(batch.f32_nchw[0] * 255).astype(np.uint8), canvas.transpose(2, 0, 1))
    assert batch.size == box.target


def test_a_picture_of_the_right_size_is_only_turned_to_rgb():
    (picture,) = pictures((64, 96))
    batch = ImageBatch([picture], (64, 96))
    assert np.array_equal(batch.u8_nhwc[0], picture[..., ::-1])


def test_pictures_of_one_shape_share_the_minimal_input_and_others_the_full_one():
    assert ImageBatch(pictures((40, 100), (40, 100)), (128, 128), minimal=True).size == (64, 128)
    mixed = ImageBatch(pictures((40, 100), (100, 40)), (128, 128), minimal=True)
    assert (mixed.size, len(mixed)) == ((128, 128), 2)
    assert ImageBatch(pictures((40, 100)), (128, 128)).size == (128, 128)


def test_views_are_made_once_and_contiguous():
    batch = ImageBatch(pictures((30, 50)), (64, 64))
    assert batch.f32_nchw is batch.f32_nchw
    assert batch.u8_nhwc is batch.u8_nhwc
    assert batch.f32_nchw.flags.c_contiguous
    assert (batch.f32_nchw.dtype, batch.f32_nchw.shape) == (np.float32, (1, 3, 64, 64))


def test_both_views_show_the_same_pixels_whichever_is_asked_for_first():
    floats, bytes_ = (ImageBatch(pictures((30, 50), (64, 64)), (64, 64)) for _ in range(2))
    scaled = bytes_.u8_nhwc.transpose(0, 3, 1, 2) / np.float32(255)
    assert np.array_equal(floats.f32_nchw, scaled)
    assert np.array_equal(bytes_.f32_nchw, scaled)
    assert np.array_equal(floats.u8_nhwc, bytes_.u8_nhwc)


def test_ready_input_is_used_as_it_is():
    pixels = np.stack(pictures((32, 64), (32, 64)))
    bytes_ = ImageBatch.from_u8(pixels)
    assert bytes_.u8_nhwc is pixels
    floats = ImageBatch.from_f32(bytes_.f32_nchw)
    assert floats.f32_nchw is bytes_.f32_nchw
    assert np.array_equal(floats.u8_nhwc, pixels)
    assert floats.geometry == (Letterbox.identity((32, 64)),) * 2
    with pytest.raises(ValueError, match="2 pictures but 1 geometries"):
        ImageBatch.from_u8(pixels, [Letterbox.identity((32, 64))])


def test_an_empty_batch_is_a_mistake():
    with pytest.raises(ValueError, match="at least one"):
        ImageBatch([], (64, 64))
