"""What the suite measures with: masks and objects in figures, looks over a plugin's shoulder, bounds, pictures."""

from __future__ import annotations

import math
import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.conformance.guards import STATM, Holdings, left_in, network_calls
from segkit.conformance.instances import Seen, mask_iou, match
from segkit.conformance.objects import CONF, Tally, boundary_iou
from segkit.conformance.panels import DIFFERENT, LARGEST
from segkit.conformance.tolerance import (
    BOUNDS,
    CROSSING,
    LIMITS,
    TOLERANCES,
    UNTRAINED,
    Allowance,
    Bound,
    Bounds,
    allowances_of,
)
from segkit.conformance.worst import draw_worst
from segkit.core.backend import Precision
from segkit.core.inference.masks import InstanceMasks

# -- overlap of boundaries


def square(side, top=0, left=0):
    return np.ones((side, side), np.bool_), top, left


@st.composite
def crops(draw):
    """A few rectangles, one of them perhaps a hole, anywhere."""
    mask = np.zeros((draw(st.integers(1, 20)), draw(st.integers(1, 20))), np.bool_)
    for value in (True, True, draw(st.booleans())):
        (top, bottom), (left, right) = (sorted(draw(st.tuples(*[st.integers(0, side)] * 2))) for side in mask.shape)
        mask[top:bottom, left:right] = value
    return mask, draw(st.integers(0, 10)), draw(st.integers(0, 10))


def rim(crop, width):
    """By the definition: pixels that are at most `width` steps, straight or diagonal, from one outside the mask."""
    inside, outside = np.argwhere(crop[0]), np.argwhere(~np.pad(crop[0], 1)) - 1
    distance = np.abs(inside[:, None] - outside[None]).max(2).min(1)
    return {(int(y) + crop[1], int(x) + crop[2]) for y, x in inside[distance <= width]}


@given(crops(), crops(), st.integers(1, 6))
def test_the_overlap_of_boundaries_is_that_of_the_definition(one, other, width):
    rims = rim(one, width), rim(other, width)
    union = len(rims[0] | rims[1])
    assert boundary_iou(one, other, width) == (len(rims[0] & rims[1]) / union if union else 1.0)


@given(crops(), crops(), st.integers(1, 6), st.tuples(st.integers(0, 50), st.integers(0, 50)))
def test_the_overlap_of_boundaries_is_a_share_alike_both_ways_and_everywhere(one, other, width, shift):
    found = boundary_iou(one, other, width)
    assert 0 <= found <= 1
    assert boundary_iou(other, one, width) == found
    moved = [(mask, top + shift[0], left + shift[1]) for mask, top, left in (one, other)]
    assert boundary_iou(*moved, width) == found


@given(crops(), crops(), st.integers(1, 6), st.integers(1, 8))
def test_how_closely_a_mask_is_cut_out_makes_no_difference(one, other, width, margin):
    mask, top, left = one
    loose = np.pad(mask, margin), top - margin, left - margin
    assert boundary_iou(loose, other, width) == boundary_iou(one, other, width)


@given(crops(), st.integers(1, 6))
def test_a_mask_has_the_boundary_of_itself(crop, width):
    assert boundary_iou(crop, crop, width) == 1


def test_masks_apart_share_no_boundary():
    assert boundary_iou(square(10), square(10, left=10), 2) == 0


def test_nothing_has_the_boundary_of_nothing():
    nothing = np.zeros((5, 5), np.bool_), 0, 0
    assert boundary_iou(nothing, nothing, 2) == 1
    assert boundary_iou(nothing, square(5), 2) == 0


def test_the_border_of_the_picture_is_a_boundary_too():
    """A mask that fills its picture has a rim, as wide as that of any other, and nothing else counts."""
    whole, ring = square(20), square(20)
    ring[0][3:-3, 3:-3] = False
    assert mask_iou(whole, ring) == 1 - 14**2 / 20**2
    assert boundary_iou(whole, ring, 3) == 1


@pytest.mark.parametrize("width", [1, 2, 5, 19])
def test_a_pixel_less_all_round_costs_a_boundary_more_than_a_mask(width):
    one, other = square(40), square(38, 1, 1)
    assert boundary_iou(one, other, width) < mask_iou(one, other) == pytest.approx(0.9025)


def test_a_width_of_no_pixels_is_one_of_one_pixel():
    assert boundary_iou(square(9), square(8), 0) == boundary_iou(square(9), square(8), 1) < 1


# -- counting objects


def disc(size, y, x, radius):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def seen(size, *objects):
    """Objects: (mask, score), all of one class."""
    masks = np.array([mask for mask, _ in objects], np.bool_).reshape(-1, *size)
    corners = [(np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1) for mask in masks]
    boxes = [(left, top, right, bottom) for (top, left), (bottom, right) in corners]
    return Seen(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([score for _, score in objects], np.float32),
        np.zeros(len(objects), np.int64),
        InstanceMasks.from_dense(masks),
    )


SIZE = (60, 80)
NOTHING = seen(SIZE)
LEFT, RIGHT = disc(SIZE, 30, 20, 12), disc(SIZE, 30, 60, 12)
BOTH = seen(SIZE, (LEFT, 0.9), (RIGHT, 0.6))
MOVED = seen(SIZE, (disc(SIZE, 30, 22, 12), 0.8), (RIGHT, 0.6))


def counted(*pictures, scale=1.0):
    tally = Tally()
    for number, (one, other) in enumerate(pictures):
        tally.add(number, match(one, other, CONF), one, other, scale)
    return tally


def values(*pictures, scale=1.0):
    return {item.name: item.value for item in counted(*pictures, scale=scale).values()}


@pytest.mark.parametrize("pictures", [[], [(NOTHING, NOTHING)]], ids=["no picture", "empty pictures"])
def test_where_there_is_nothing_everything_is_found(pictures):
    assert values(*pictures) == {"match": 1, "objects": 0, "objects near the threshold": 0}


def test_the_same_objects_differ_in_nothing():
    assert values((BOTH, BOTH), (BOTH, BOTH)) == {
        "match": 1,
        "objects": 4,
        "objects near the threshold": 0,
        "mask IoU": 1,
        "mean mask IoU": 1,
        "mean boundary IoU": 1,
        "box": 0,
        "score": 0,
    }


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (BOTH, seen(SIZE, (LEFT, 0.9)), 1 / 2),
        (seen(SIZE, (LEFT, 0.9)), BOTH, 1 / 2),
        (seen(SIZE, (LEFT, 0.9)), seen(SIZE, (RIGHT, 0.9)), 0),
        (BOTH, NOTHING, 0),
        (NOTHING, BOTH, 0),
    ],
    ids=["missing", "extra", "another one", "all missing", "all extra"],
)
def test_missing_and_extra_objects_lower_the_share_that_is_found(one, other, share):
    assert values((one, other))["match"] == share
    assert values((one, other), (BOTH, BOTH))["match"] == pytest.approx((2 * share + 2) / 4)


def test_an_object_near_the_threshold_is_counted_apart():
    """Its score may be just below in the other model."""
    found = values((seen(SIZE, (LEFT, 0.9), (RIGHT, CONF + 0.005)), seen(SIZE, (LEFT, 0.9))))
    assert (found["match"], found["objects"], found["objects near the threshold"]) == (1, 1, 1)


@pytest.mark.parametrize(("precision", "score"), [("fp32", 0.015), ("fp16", 0.025), ("int8", 0.055)])
def test_a_score_crosses_the_threshold_by_what_a_precision_explains_and_no_further(precision, score):
    for above, missing in ((score - 0.01, 0), (score, 1)):
        one, other = seen(SIZE, (LEFT, 0.9), (RIGHT, CONF + above)), seen(SIZE, (LEFT, 0.9))
        assert len(match(one, other, CONF, CROSSING[Precision(precision)]).missing) == missing


def test_the_least_overlap_and_the_largest_differences_are_told():
    found = values((BOTH, BOTH), (BOTH, MOVED), scale=0.5)
    overlap = mask_iou((LEFT, 0, 0), (disc(SIZE, 30, 22, 12), 0, 0))
    assert found["mask IoU"] == overlap < 0.9
    assert found["mean mask IoU"] == pytest.approx((3 + overlap) / 4)
    assert found["mean boundary IoU"] < found["mean mask IoU"]
    assert found["score"] == pytest.approx(0.1)
    assert found["box"] == 1  # two pixels of the picture are one of the input


@pytest.mark.parametrize(
    ("pictures", "worst"),
    [
        ([(BOTH, BOTH)], 0),
        ([(BOTH, BOTH), (BOTH, MOVED), (NOTHING, NOTHING)], 1),
        ([(BOTH, MOVED), (BOTH, BOTH), (BOTH, seen(SIZE, (LEFT, 0.9)))], 2),
        ([(BOTH, NOTHING), (seen(SIZE, (LEFT, 0.9)), BOTH), (BOTH, MOVED)], 0),
        ([(BOTH, BOTH), (NOTHING, BOTH), (BOTH, MOVED)], 1),
    ],
    ids=["alike", "moved", "missing", "all missing", "all extra"],
)
def test_the_picture_that_differs_most_is_known(pictures, worst):
    assert counted(*pictures).worst[1] == worst


# -- what a plugin leaves


def folder(path):
    path.mkdir()
    return path


def test_what_is_left_beside_the_model_and_in_the_working_folder_is_found_and_nothing_else(tmp_path):
    beside, elsewhere = folder(tmp_path / "beside"), folder(tmp_path / "elsewhere")
    (beside / "model.pt").touch()
    before, litter = Path.cwd(), []
    with left_in(beside, tmp_path / "cwd", litter):
        Path("tuning.cache").touch()
        folder(beside / "profile")
        (beside / "model.pt").write_bytes(b"new")
        (elsewhere / "kept").touch()
    assert litter == ["tuning.cache in the working folder", "profile beside the model"]
    assert Path.cwd() == before


# -- whom it calls


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (socket.SOCK_STREAM, lambda own, address: own.connect(address)),
        (socket.SOCK_STREAM, lambda own, address: own.connect_ex(address)),
        (socket.SOCK_DGRAM, lambda own, address: own.sendto(b"news", address)),
        (socket.SOCK_DGRAM, lambda own, address: own.sendto(b"news", 0, address)),
        (socket.SOCK_DGRAM, lambda own, address: own.sendmsg([b"news"], [], 0, address)),
    ],
    ids=["connect", "connect_ex", "sendto", "sendto with flags", "sendmsg"],
)
def test_every_way_to_call_an_address_is_refused_and_named(kind, call):
    calls = []
    with socket.socket(socket.AF_INET, kind) as there, socket.socket(socket.AF_INET, kind) as own:
        there.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            there.listen()
        with network_calls(calls), pytest.raises(OSError, match="without a network"):
            call(own, there.getsockname())
        assert calls == [str(there.getsockname())]
        call(own, there.getsockname())  # and possible again afterwards
    assert len(calls) == 1


@pytest.mark.parametrize("address", ["http://models.example/best.pt", "https://127.0.0.1:9/"])
def test_urllib_is_refused_with_the_name_of_the_host(address):
    calls = []
    with network_calls(calls), pytest.raises(urllib.error.URLError, match="without a network"):
        urllib.request.urlopen(address, timeout=5)
    assert calls == [urllib.request.Request(address).host.partition(":")[0]]


@pytest.mark.parametrize("ask", [socket.gethostbyname, socket.gethostbyname_ex], ids=lambda ask: ask.__name__)
def test_a_name_that_is_looked_up_is_named(ask):
    calls = []
    with network_calls(calls), pytest.raises(OSError, match="without a network"):
        getattr(socket, ask.__name__)("models.example")
    assert calls == ["models.example"]


def test_a_plugin_that_swallows_the_refusal_is_known_all_the_same():
    calls = []
    with network_calls(calls):
        for host in ("a.example", "b.example"):
            with pytest.raises(OSError, match="without a network"):
                socket.create_connection((host, 80), timeout=5)
    assert calls == ["a.example", "b.example"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_processes_of_this_machine_may_talk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    calls = []
    with network_calls(calls), ExitStack() as stack:
        one, other = map(stack.enter_context, socket.socketpair())
        one.sendall(b"pair")
        assert other.recv(4) == b"pair"
        there, own = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        there.bind("s")
        there.listen()
        own.connect("s")
        own.sendall(b"unix")
        accepted = stack.enter_context(there.accept()[0])
        assert accepted.recv(4) == b"unix"
    assert calls == []


# -- what it holds

needs_proc = pytest.mark.skipif(not STATM.exists(), reason="this system does not tell what a process holds")


@needs_proc
def test_files_that_stay_open_are_handles(tmp_path):
    before = Holdings.now()
    with ExitStack() as stack:
        for number in range(5):
            stack.enter_context((tmp_path / str(number)).open("w"))
        assert Holdings.now().handles == before.handles + 5
    assert Holdings.now().handles == before.handles


@needs_proc
def test_a_thread_that_runs_is_a_thread():
    before, end = Holdings.now(), threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    during = Holdings.now()
    end.set()
    thread.join()
    assert during.threads == before.threads + 1


@needs_proc
def test_memory_counts_from_when_it_is_touched():
    before = Holdings.now()
    reserved = np.empty(100_000_000, np.uint8)
    empty = Holdings.now()
    reserved[:] = 1
    full = Holdings.now()
    del reserved
    after = Holdings.now()
    assert empty.memory - before.memory < 50
    assert 90 < full.memory - empty.memory < 150
    assert full.memory - after.memory > 90


@needs_proc
def test_garbage_is_not_held():
    before = Holdings.now()
    ring = [np.ones(100_000_000, np.uint8)]
    ring.append(ring)
    del ring
    assert Holdings.now().memory - before.memory < 50


# -- bounds

MOST = Bound("fp32 box", 0.5, False, "px", "sums in another order")
LEAST = Bound("fp32 mask IoU", 0.9, True, "", "a pixel or two")


@pytest.mark.parametrize(
    ("bound", "value", "holds"),
    [
        (MOST, 0.5, True),
        (MOST, 0.51, False),
        (MOST, -math.inf, True),
        (MOST, math.inf, False),
        (MOST, math.nan, False),
        (LEAST, 0.9, True),
        (LEAST, 0.89, False),
        (LEAST, math.inf, True),
        (LEAST, -math.inf, False),
        (LEAST, math.nan, False),
    ],
    ids=str,
)
def test_a_bound_is_kept_up_to_its_limit_and_never_by_nan(bound, value, holds):
    assert bound.holds(value) is holds


@pytest.mark.parametrize("name", BOUNDS)
def test_every_bound_has_a_reason_and_is_found_by_precision_and_figure(name):
    bound = BOUNDS[name]
    precision, _, figure = name.partition(" ")
    assert len(bound.reason.split()) >= 2
    assert not bound.allowed
    assert Bounds().of(Precision(precision), figure) is bound


def test_every_bound_is_one_of_a_figure_that_there_is():
    figures = {item.name for item in counted((BOTH, MOVED)).values()} | {"mAP"}
    figures |= {f"raw {'SNR' if name == 'snr' else name}" for name in LIMITS}
    assert {name.partition(" ")[2] for name in BOUNDS} <= figures


@pytest.mark.parametrize("tolerance", [*TOLERANCES.values(), UNTRAINED], ids=[*TOLERANCES, "untrained"])
def test_every_raw_output_has_a_limit(tolerance):
    assert all(math.isfinite(getattr(tolerance, name)) and getattr(tolerance, name) > 0 for name in LIMITS)


def test_a_figure_without_a_bound_is_only_reported():
    assert Bounds().of(Precision.INT8, "mask IoU") is None


REASON = "the chip rounds sums to sixteen bits"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Allowance("fp32 boxes", 1, REASON), "an allowance for 'fp32 boxes': the bounds are fp32 box, "),
        (Allowance("fp32 box", 1, ""), "needs a reason that a reader can judge"),
        (Allowance("fp32 box", 1, "known issue"), "needs a reason that a reader can judge"),
        (Allowance("fp32 box", 0.004, REASON), "the allowance 0.004 for 'fp32 box' is not wider than <= 0.005 px"),
        (Allowance("fp32 box", 0.005, REASON), "is not wider"),
        (Allowance("fp32 box", math.nan, REASON), "is not wider"),
        (Allowance("fp32 mask IoU", 0.9995, REASON), "is not wider than >= 0.999"),
        (Allowance("fp32 mask IoU", math.nan, REASON), "is not wider"),
        (Allowance("fp32 box", math.inf, REASON), "has no end: nothing would be tested"),
        (Allowance("fp32 mask IoU", -math.inf, REASON), "has no end: nothing would be tested"),
        (Allowance("fp32 box", "1", REASON), "is '1', not a number"),
        (Allowance("fp32 box", True, REASON), "is True, not a number"),
        (Allowance("fp32 box", 1, None), "needs a reason that a reader can judge"),
        (("fp32 box", 1, REASON), r"\('fp32 box', 1, .* is no Allowance"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value}"[:60],
)
def test_an_allowance_that_makes_no_sense_is_refused(asked, words):
    with pytest.raises(ValueError, match=words):
        Bounds([asked])


def test_an_allowance_widens_one_bound_and_shows_its_reason():
    bounds = Bounds([Allowance("fp32 box", 0.1, REASON), Allowance("fp32 match", 0.9, REASON)])
    box, found = bounds.of(Precision.FP32, "box"), bounds.of(Precision.FP32, "match")
    assert str(box) == f"<= 0.1 px (wider for this backend: {REASON})"
    assert str(found) == f">= 0.9 (wider for this backend: {REASON})"
    assert box.holds(0.1)
    assert found.holds(0.9)
    assert bounds.of(Precision.FP16, "box") == BOUNDS["fp16 box"]
    assert str(BOUNDS["fp32 box"]) == "<= 0.005 px"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (["fp32 box"], r"not \['fp32 box'\]"),
        ({"fp32 box": 1}, "that for 'fp32 box' is 1"),
        ({"fp32 box": (1, REASON, 3)}, "that for 'fp32 box' is"),
    ],
    ids=["list", "number", "three"],
)
def test_allowances_in_another_form_are_refused(declared, words):
    with pytest.raises(ValueError, match=words):
        allowances_of(declared)


def test_an_allowance_widens_the_bound_of_a_raw_output():
    assert Bounds().tolerance(Precision.FP16) == TOLERANCES[Precision.FP16]
    asked = allowances_of({"fp32 raw boxes": (0.1, REASON), "fp32 raw SNR": (50, REASON)})
    wider = Bounds(asked).tolerance(Precision.FP32)
    assert (wider.boxes, wider.snr) == (0.1, 50)
    assert wider.scores == TOLERANCES[Precision.FP32].scores


# -- the picture that differs most


def scene(size):
    return cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8), size[::-1])


def drawn(folder, one, other, size):
    """The picture of the difference without its title, and where it is red."""
    height, width = size
    found = draw_worst(folder, scene(size), one, other, "mine", {0: "disc"})
    assert [*found] == ["reference", "mine", "in red: what only one of the two sees"]
    panels = [cv2.imread(str(path)) for path in found.values()]
    assert panels[0].shape == panels[1].shape == panels[2].shape
    scale = min(1, LARGEST / max(size))
    panel = panels[2][-max(round(height * scale), 1) :]
    assert panel.shape[1] == max(round(width * scale), 1)
    assert panels[2].shape[0] - panel.shape[0] in range(28, 49)
    return panel, (panel == DIFFERENT).all(2)


def test_what_one_alone_covers_is_red_and_the_rest_is_grey(tmp_path):
    size = (240, 320)
    both, first, second = disc(size, 120, 100, 60), disc(size, 60, 250, 30), disc(size, 180, 250, 30)
    one = seen(size, (both, 0.9), (first, 0.7))
    other = seen(size, (disc(size, 124, 100, 60), 0.9), (second, 0.6))
    panel, red = drawn(tmp_path, one, other, size)
    wanted = both ^ disc(size, 124, 100, 60) | first | second
    np.testing.assert_array_equal(red, wanted)
    assert np.ptp(panel[~red], axis=1).max() == 0
    np.testing.assert_allclose(panel[~red][:, 0], scene(size).mean(2)[~red] * 0.4, atol=1)


def test_a_large_picture_is_made_smaller_and_a_thin_difference_stays(tmp_path):
    size = (3000, 2250)
    both, thinner = disc(size, 1000, 1000, 800), disc(size, 1000, 1000, 800)
    thinner[1000:, 1000] = False  # a line of one pixel
    extra = disc(size, 2600, 1900, 300)
    one, other = seen(size, (both, 0.9)), seen(size, (thinner, 0.9), (extra, 0.6))
    panel, red = drawn(tmp_path, one, other, size)
    assert panel.shape[:2] == (1280, 960)
    scale = 1280 / 3000
    line = red[round(1000 * scale) + 1 : round(1800 * scale) - 1, round(1000 * scale) - 1 : round(1000 * scale) + 2]
    assert line.any(1).all()
    assert red[round(2600 * scale), round(1900 * scale)]
    below = red[round(1850 * scale) :]
    assert below.sum() == pytest.approx(math.pi * (300 * scale) ** 2, rel=0.05)
    assert red.sum() - below.sum() < 3 * 800 * scale


@pytest.mark.parametrize("size", [(1, 1), (7, 400), (3000, 3), (3, 3000)], ids=str)
def test_pictures_of_any_shape_are_drawn(tmp_path, size):
    whole = seen(size, (np.ones(size, np.bool_), 0.9))
    _, red = drawn(tmp_path, whole, seen(size), size)
    assert red.all()
    _, red = drawn(tmp_path, whole, whole, size)
    assert not red.any()
