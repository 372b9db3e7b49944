"""Masks made window by window are those of the definition on whole frames, for any picture and input size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.core.images import Letterbox
from segkit.core.inference.decode import Detections
from segkit.core.inference.masks import InstanceMasks


def detections(xyxy, coefficients):
    count = len(xyxy)
    return Detections(
        np.asarray(xyxy, np.float32).reshape(-1, 4),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        np.asarray(coefficients, np.float32),
        np.arange(count),
    )


@st.composite
def scenes(draw):
    """Smooth prototypes, boxes that may reach beyond the frame, and the geometry of any picture in any input."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    source = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    target = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    letterbox = Letterbox.fit(source, (32 * target[0], 32 * target[1]), minimal=draw(st.booleans()))
    height, width = letterbox.target
    count = draw(st.integers(0, 5))
    centre = rng.random((count, 2)) * [width, height]
    half = rng.random((count, 2)) * [width, height] * draw(st.sampled_from([0.01, 0.1, 0.7]))
    blobs = rng.standard_normal((4, 6, 6)).astype(np.float32)
    prototypes = np.stack([cv2.resize(b, (width // 4, height // 4), interpolation=cv2.INTER_CUBIC) for b in blobs])
    found = detections(np.concatenate([centre - half, centre + half], axis=1), rng.standard_normal((count, 4)))
    return prototypes, found, letterbox


def finer(letterbox):
    """The smallest up-sampling of a quarter-size map after which the border covers whole samples."""
    borders = (letterbox.top, letterbox.bottom, letterbox.left, letterbox.right)
    return next(factor for factor in (1, 2, 4) if all(pad * factor % 4 == 0 for pad in borders))


def by_the_definition(prototypes, found, letterbox, native):
    """Whole-frame logits in torch, thresholded, then cut to the boxes; and where a logit is too close to call."""
    torch = pytest.importorskip("torch")
    resize = torch.nn.functional.interpolate
    logits = torch.from_numpy(found.coefficients) @ torch.from_numpy(prototypes).flatten(1)
    logits = logits.view(1, -1, *prototypes.shape[1:])
    size, boxes = letterbox.target, found.xyxy
    if native:
        borders = (letterbox.top, letterbox.bottom, letterbox.left, letterbox.right)
        factor = finer(letterbox)
        if factor > 1:
            logits = resize(logits, scale_factor=factor, mode="bilinear", align_corners=False)
        top, bottom, left, right = (pad * factor // 4 for pad in borders)
        logits = logits[..., top : logits.shape[-2] - bottom, left : logits.shape[-1] - right]
        size, boxes = letterbox.source, letterbox.to_source(boxes)
    values = resize(logits, size=size, mode="bilinear", align_corners=False)[0].numpy()
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    left, top, right, bottom = boxes.T[:, :, None, None]
    inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    return (values > 0) & inside, np.abs(values) < 1e-4


@pytest.mark.parametrize("native", [False, True], ids=["network", "native"])
@given(scene=scenes())
@settings(max_examples=150)
def test_windows_agree_with_the_definition_on_whole_frames(native, scene):
    if not len(scene[1]):
        masks, kept = InstanceMasks.from_prototypes(*scene, native)
        assert (len(masks), len(kept), masks.dense().shape[0]) == (0, 0, 0)
        return
    wanted, close = by_the_definition(*scene, native)
    masks, kept = InstanceMasks.from_prototypes(*scene, native)
    made = np.zeros_like(wanted)
    made[kept] = masks.dense()
    assert masks.frame == wanted.shape[1:]
    assert not ((made != wanted) & ~close).any()
    assert (made[kept].any(axis=(1, 2)) | close[kept].any(axis=(1, 2))).all()  # none is kept without a pixel


@given(scene=scenes())
@settings(max_examples=50)
def test_the_native_mask_does_not_depend_on_the_convention_it_was_built_in(scene):
    network, kept = InstanceMasks.from_prototypes(*scene, native=False)
    native, kept_native = InstanceMasks.from_prototypes(*scene, native=True)
    both = sorted(set(kept) & set(kept_native))
    one = network.native().dense()[np.isin(kept, both)]
    assert np.array_equal(one, native.dense()[np.isin(kept_native, both)])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_every_border_that_needs_finer_samples_is_met_by_the_random_scenes(factor):
    sizes = [Letterbox.fit((h, w), (64, 64)) for h in range(1, 300, 7) for w in range(1, 300, 7)]
    needs = [
        next(f for f in (1, 2, 4) if all(p * f % 4 == 0 for p in (b.top, b.bottom, b.left, b.right))) for b in sizes
    ]
    assert needs.count(factor) > 10


PLAIN = Letterbox.identity((64, 64))


def step(height=16, width=16, edge=8):
    """One prototype: +1 left of `edge` (in samples), -1 from there on."""
    plane = np.ones((1, height, width), np.float32)
    plane[:, :, edge:] = -1
    return plane


def test_a_mask_is_cut_at_the_unrounded_box():
    masks, _ = InstanceMasks.from_prototypes(step(edge=16), detections([[3.2, 5.0, 9.0, 7.1]], [[1]]), PLAIN, False)
    crop, top, left = masks.crop(0)
    assert (crop.shape, top, left, crop.all()) == ((3, 5), 5, 4, True)  # rows 5..7, columns 4..8


def test_an_object_without_a_pixel_is_dropped():
    boxes = [[0, 0, 20, 20], [40, 0, 60, 20], [10.2, 10.2, 10.8, 10.8], [-9, -9, -1, -1], [70, 0, 90, 9], [9, 9, 5, 5]]
    masks, kept = InstanceMasks.from_prototypes(step(), detections(boxes, [[1]] * 6), PLAIN, False)
    assert (kept.tolist(), len(masks)) == ([0], 1)


def test_an_object_whose_only_positive_sample_lies_beyond_its_box_is_dropped():
    # Column 7 of the samples is positive and read by the pixels up to 33, yet those from 33 on are negative.
    found = detections([[33, 0, 40, 20]], [[1]])
    _, kept = InstanceMasks.from_prototypes(step(), found, PLAIN, False)
    assert kept.tolist() == []


def test_a_single_pixel_is_enough_to_be_kept():
    found = detections([[31, 10, 40, 11]], [[1]])
    masks, kept = InstanceMasks.from_prototypes(step(), found, PLAIN, False)
    assert kept.tolist() == [0]
    assert masks.dense().sum() == 1


def test_masks_without_numbers_are_dropped_without_a_warning():
    coefficients = np.array([[np.nan], [np.inf], [-np.inf], [3e38], [1]], np.float32)
    found = detections([[0, 0, 60, 60]] * len(coefficients), coefficients)
    _, kept = InstanceMasks.from_prototypes(2 * step(), found, PLAIN, False)
    assert kept.tolist() == [4]


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_results_keep_no_prototypes(last):
    prototypes = np.ones((4, 160, 160), np.float32)
    if last:
        prototypes = np.ascontiguousarray(prototypes.transpose(1, 2, 0)).transpose(2, 0, 1)
    boxes = [[0, 0, 640, 100], [100, 100, 140, 140]]
    masks, _ = InstanceMasks.from_prototypes(
        prototypes, detections(boxes, np.ones((2, 4))), Letterbox.identity((640, 640)), False
    )
    assert masks.nbytes <= 4 * (28 * 160 + 16 * 16)  # the boxes at quarter size, and a margin
    prototypes[:] = -1
    assert masks.dense().any()


@pytest.mark.parametrize("ratio", [2, 3, 5, 8])
def test_prototypes_of_another_resolution_end_where_the_border_does(ratio):
    letterbox = Letterbox.fit((88, 240), (240, 240))  # a border of 76 pixels above and below
    whole = detections([[0, 0, 240, 240]], [[1]])
    masks, _ = InstanceMasks.from_prototypes(np.ones((1, 240 // ratio, 240 // ratio)), whole, letterbox, True)
    assert masks.dense().all()
    assert masks.dense().shape == (1, 88, 240)


def test_prototypes_that_do_not_fit_the_input_are_refused():
    with pytest.raises(ValueError, match="do not divide"):
        InstanceMasks.from_prototypes(step(15, 15), detections([[0, 0, 9, 9]], [[1]]), PLAIN, False)
