"""The web page's arithmetic, run in Node, gives what segkit's own gives: pixels, detections, masks, outlines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit._web import PAGE
from segkit.core.backend import Anchors
from segkit.core.images import ImageBatch, Letterbox
from segkit.core.inference.decode import Detections, select
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.results import _counted

CALLER = Path(__file__).parent / "fakes" / "call_page.mjs"

Call = Callable[..., list[Any]]

SIZES = [
    ((540, 405), (160, 160)),
    ((270, 480), (256, 256)),
    ((320, 320), (160, 160)),  # one half: OpenCV has a way of its own
    ((160, 128), (160, 128)),  # nothing to resize
    ((33, 57), (320, 256)),  # larger than it was
    ((1, 9), (64, 96)),
    ((501, 333), (160, 160)),  # odd sides, an odd border
]


@pytest.fixture(scope="module")
def page(node: str, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Calls functions of the page's modules: (module, function, arguments…) each, answers in the same order."""
    folder = tmp_path_factory.mktemp("modules")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')  # to a browser they are modules anyway

    def call(*calls: tuple[Any, ...]) -> list[Any]:
        command = [node, str(CALLER), str(folder)]
        done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    return call


def sized(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def placed(box: Letterbox) -> dict[str, Any]:
    """A letterbox as the page has it."""
    sides = {name: sized(getattr(box, name)) for name in ("source", "target", "resized")}
    return {**sides, "top": box.top, "left": box.left}


def numbers(array: Any) -> dict[str, list[Any]]:
    flat = np.asarray(array, np.float32).ravel()
    return {"f32": [value if np.isfinite(value) else str(value).replace("inf", "Infinity") for value in flat.tolist()]}


def test_geometry_is_that_of_the_letterbox(page: Call, rng: np.random.Generator) -> None:
    sources = [tuple(map(int, rng.integers(1, 3000, 2))) for _ in range(300)]
    targets = [(320, 320), (640, 480)]
    cases = [(source, target, minimal) for source in sources for target in targets for minimal in (False, True)]
    found = page(*(("letterbox.js", "fit", sized(s), sized(t), {"minimal": minimal}) for s, t, minimal in cases))
    assert found == [placed(Letterbox.fit(s, t, minimal=minimal)) for s, t, minimal in cases]


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_the_input_is_the_same_to_the_last_bit(
    page: Call, rng: np.random.Generator, source: tuple[int, int], target: tuple[int, int]
) -> None:
    picture = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
    batch = ImageBatch([picture], target)
    rgba = cv2.cvtColor(picture, cv2.COLOR_BGR2RGBA)
    (found,) = page(("letterbox.js", "letterboxed", {"u8": rgba.ravel().tolist()}, placed(batch.geometry[0])))
    wanted = batch.f32_nchw[0].transpose(1, 2, 0)
    assert np.array_equal(np.array(found, np.float32).reshape(wanted.shape), wanted)


def test_the_same_detections_are_selected(page: Call, rng: np.random.Generator) -> None:
    calls, wanted = [], []
    for conf, iou, most in ((0.25, 0.7, 300), (0.001, 0.45, 300), (0.1, 0.5, 7)):
        raw = crowd(rng)
        calls.append(
            (
                "detections.js",
                "select",
                {"boxes": numbers(raw.boxes[0]), "scores": numbers(raw.scores[0])},
                {"conf": conf, "iou": iou, "maxDet": most},
            )
        )
        wanted.append(select(raw, conf=conf, iou=iou, max_det=most)[0])
    for found, own in zip(page(*calls), wanted, strict=True):
        assert [each["anchor"] for each in found] == own.anchors.tolist()
        assert [each["label"] for each in found] == own.classes.tolist()
        assert np.array_equal(np.array([each["confidence"] for each in found], np.float32), own.confidence)
        assert np.array_equal(np.array([each["box"] for each in found], np.float32).reshape(-1, 4), own.xyxy)


def crowd(rng: np.random.Generator, anchors: int = 400, classes: int = 5) -> Anchors:
    """Boxes that overlap a lot, equal scores, and some that are no numbers."""
    boxes = np.concatenate([rng.uniform(40, 90, (2, anchors)), rng.uniform(10, 60, (2, anchors))])
    scores = np.round(rng.uniform(0, 1, (classes, anchors)) ** 3, 2)
    boxes[0, 3], scores[2, 5], scores[:, 8] = np.nan, np.nan, np.inf
    nothing = np.zeros((1, 0, anchors), np.float32)
    joined = (part[None].astype(np.float32) for part in (boxes, scores))
    return Anchors(*joined, nothing, np.zeros((1, 0, 8, 8), np.float32))


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_masks_are_those_of_the_picture(
    page: Call, rng: np.random.Generator, source: tuple[int, int], target: tuple[int, int]
) -> None:
    box, (prototypes, found) = Letterbox.fit(source, target), blobs(rng, target)
    own, kept = InstanceMasks.from_prototypes(prototypes, found, box, native=True)
    low = sized((target[0] // 4, target[1] // 4))
    (frame,) = page(("masks.js", "frameOf", low, placed(box), sized(source)))
    for axis in (frame["x"], frame["y"]):
        axis["weights"] = {"f32": axis["weights"]}
    given = numbers(prototypes.transpose(1, 2, 0)), numbers(found.coefficients.T), frame
    each = [{"box": xyxy, "anchor": index} for index, xyxy in enumerate(found.xyxy.tolist())]
    masks = page(*(("masks.js", "maskOf", detection, *given) for detection in each))
    assert [index for index, mask in enumerate(masks) if mask] == kept.tolist()
    for index, mask in enumerate(filter(None, masks)):
        wanted, top, left = own.crop(index)
        assert (mask["top"], mask["left"], mask["height"], mask["width"]) == (top, left, *wanted.shape)
        differing = np.count_nonzero(np.array(mask["data"], bool).reshape(wanted.shape) != wanted)
        assert differing <= wanted.size * 1e-4  # sums are rounded in another order


def blobs(rng: np.random.Generator, target: tuple[int, int], count: int = 12) -> tuple[Any, Detections]:
    """Smooth prototypes, and boxes somewhere in the input, also beyond its sides."""
    low = rng.normal(size=(4, target[0] // 4, target[1] // 4)).astype(np.float32)
    prototypes = np.stack([cv2.GaussianBlur(each, (0, 0), 3) for each in low])
    centre = rng.uniform(0, 1, (count, 2)) * target[::-1]
    half = rng.uniform(0.05, 0.6, (count, 2)) * target[::-1]
    xyxy = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    labels, anchors = np.zeros(count, np.int64), np.arange(count)
    coefficients = rng.normal(size=(count, 4)).astype(np.float32)
    return prototypes, Detections(xyxy, np.ones(count, np.float32), labels, coefficients, anchors)


def test_outlines_hold_the_middle_of_every_pixel_that_is_on(page: Call, rng: np.random.Generator) -> None:
    mask = (cv2.GaussianBlur(rng.normal(size=(24, 31)).astype(np.float32), (0, 0), 1.2) > 0).astype(np.uint8)
    mask[:3, :3] = [[1, 0, 1], [0, 1, 0], [1, 1, 1]]  # pixels that meet at corners
    given = {"top": 5, "left": 7, "height": 24, "width": 31, "data": {"u8": mask.ravel().tolist()}}
    (lines,) = page(("outlines.js", "outlinesOf", given))
    inside = np.zeros(mask.shape, int)
    for line in lines:
        inside += within(np.array(line).reshape(-1, 2) - (7, 5), mask.shape)
    assert np.array_equal(inside % 2, mask)


def within(line: Any, size: tuple[int, int]) -> Any:
    """Which middles of pixels a closed line goes around: a ray to the right crosses it an odd number of times."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    crossed = np.zeros(size, int)
    for (x1, y1), (x2, y2) in zip(line, np.roll(line, -1, axis=0), strict=True):
        if y1 != y2:
            crossed += ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return crossed % 2


def test_plurals_are_those_of_results(page: Call) -> None:
    names = ["bus", "box", "bench", "brush", "person", "skis", "scissors", "Äpfel", "木", "caf\u00e9", "S"]
    cases = [(count, name) for name in names for count in (1, 2)]
    assert page(*(("panel.js", "counted", *case) for case in cases)) == [_counted(*case) for case in cases]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
