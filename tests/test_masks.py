"""Masks of the bus, in both conventions, are the reference's: pixels and outlines."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from segkit.core.backend import Anchors
from segkit.core.images import ImageBatch, Letterbox
from segkit.core.inference.decode import Detections, select
from segkit.core.inference.masks import InstanceMasks

SQUARE = Letterbox.fit((1080, 810), (640, 640))


def detections(xyxy, coefficients):
    count = len(xyxy)
    return Detections(
        np.asarray(xyxy, np.float32).reshape(-1, 4),
        np.linspace(1, 0.5, count, dtype=np.float32),
        np.zeros(count, np.int64),
        np.asarray(coefficients, np.float32),
        np.arange(count),
    )


@pytest.fixture(scope="module")
def stored(reference):
    with np.load(reference / "masks.npz") as masks:
        return dict(masks)


@pytest.fixture(scope="module")
def square(reference, stored):
    """Prototypes and detections of the bus in a square input."""
    with np.load(reference / "forward_n_proto.npz") as forward:
        prototypes = forward["output1"][0]
    return prototypes, detections(stored["det_net_xyxy_conf_cls"][:, :4], stored["det_coef"])


@pytest.fixture(scope="module")
def minimal(n_seg_pt, bus):
    """Prototypes, detections and geometry of the bus in the smallest input that holds it, from the weights on."""
    torch = pytest.importorskip("torch")
    from segkit.core.model import load_network

    batch = ImageBatch([cv2.imread(str(bus))], (640, 640), minimal=True)
    with torch.inference_mode():
        output0, output1 = load_network(n_seg_pt)(torch.from_numpy(batch.f32_nchw))
    raw = Anchors.from_joined(output0.numpy(), output1.numpy())
    return raw.prototypes[0], select(raw, conf=0.25, iou=0.7, max_det=300)[0], batch.geometry[0]


def expected(stored, name):
    count, height, width = stored[f"{name}_shape"]
    bits = np.unpackbits(stored[f"{name}_packed"], axis=1)[:, : height * width]
    return bits.reshape(count, height, width).astype(bool)


@pytest.mark.parametrize(("name", "native"), [("sq_net640", False), ("sq_native", True)])
def test_stored_tensors_give_the_references_pixels_and_outlines(stored, square, name, native):
    masks, kept = InstanceMasks.from_prototypes(*square, SQUARE, native)
    wanted = expected(stored, name)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]
    assert masks.frame == wanted.shape[1:]
    assert np.count_nonzero(masks.dense() != wanted) == 0
    check_outlines(masks, stored, name)


@pytest.mark.parametrize(("name", "native"), [("predict_default", False), ("predict_retina", True)])
def test_the_network_gives_the_references_pixels_in_its_smallest_input(stored, minimal, name, native):
    prototypes, found, letterbox = minimal
    wanted = expected(stored, name)
    assert letterbox.target == (640, 480)
    order = [int(np.abs(found.confidence - row[4]).argmin()) for row in stored[f"{name}_boxes"]]
    assert np.abs(found.confidence[order] - stored[f"{name}_boxes"][:, 4]).max() < 2e-5
    masks, kept = InstanceMasks.from_prototypes(prototypes, found, letterbox, native)
    assert len(kept) == len(found) == 6
    # None differed where this was written; another machine's rounding may move a pixel whose logit is about zero.
    differing = np.count_nonzero(masks[order].dense() != wanted, axis=(1, 2))
    assert differing.max() <= 3, differing


def check_outlines(masks, stored, name):
    for index in range(len(masks)):
        wanted = stored[f"{name}_poly{index}"]
        outline = masks.polygon(index)
        assert outline.dtype == np.float32
        assert np.array_equal(in_order(outline), in_order(wanted))  # where the walk begins is free
        if len(masks.polygons(index)) == 1:
            assert np.array_equal(outline, wanted)


def in_order(points):
    return points[np.lexsort(points.T)]


def test_point_counts_of_outlines_are_the_references(reference, square):
    facts = json.loads((reference / "masks.json").read_text())["sets"]
    for native, name in ((False, "sq_net640"), (True, "sq_native")):
        masks, _ = InstanceMasks.from_prototypes(*square, SQUARE, native)
        assert [len(masks.polygon(index)) for index in range(6)] == facts[name]["poly_points"]
        assert masks.dense().sum(axis=(1, 2)).tolist() == facts[name]["area"]


def test_native_masks_of_network_masks_are_those_made_natively(square):
    network, _ = InstanceMasks.from_prototypes(*square, SQUARE, native=False)
    native, _ = InstanceMasks.from_prototypes(*square, SQUARE, native=True)
    assert np.array_equal(network.native().dense(), native.dense())
    assert network.rle(2) == native.rle(2)
    crop, top, left = network.native_crop(1)
    wanted = native.crop(1)
    assert np.array_equal(crop, wanted[0])
    assert (top, left) == wanted[1:]
    assert native.native() is native
