"""Generated pictures of shapes: exact masks, the same everywhere, and labels that give the masks again."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segkit.core.data.description import read_description
from segkit.core.data.named.catalogue import entry, locate
from segkit.core.data.raster import polygon_mask
from segkit.core.data.shapes.files import make_shapes
from segkit.core.data.shapes.masks import TURN, UNIT, Grid, centres, corners, disc, draw, polygon
from segkit.core.data.shapes.samples import NAMES, sample
from segkit.core.errors import OptionError, OutputError

SEEDS = st.integers(0, 2**63 - 1)


def filled(outline: np.ndarray, size: int) -> np.ndarray:
    """The mask that training makes of an outline."""
    crop = polygon_mask([outline], (size, size))
    mask = np.zeros((size, size), np.bool_)
    height, width = crop.mask.shape
    mask[crop.top : crop.top + height, crop.left : crop.left + width] = crop.mask
    return mask


def whole(size: int) -> Grid:
    """The pixels of a square picture."""
    return centres((slice(0, size), slice(0, size)))


def parts_of(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1


def test_the_pictures_are_those_of_every_other_machine() -> None:
    made = [sample(7, index, 96) for index in range(12)]
    digest = hashlib.sha256()
    for each in made:
        for array in (each.picture, each.masks, each.classes.astype("<i8")):
            digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest()[:16] == "772ff1f9e0adef6a"


def test_a_picture_depends_on_its_number_alone() -> None:
    numbers = list(range(6))
    straight = {index: sample(3, index, 64) for index in numbers}
    random.Random(0).shuffle(numbers)
    for index in numbers:
        for one, other in zip(sample(3, index, 64)[:3], straight[index][:3], strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({each.picture.tobytes() for each in straight.values()}) == 6
    assert sample(4, 0, 64).picture.tobytes() != straight[0].picture.tobytes()


@given(SEEDS, st.integers(0, 10**6), st.sampled_from([32, 64, 97]))
def test_a_picture_is_what_it_says(seed: int, index: int, size: int) -> None:
    made = sample(seed, index, size)
    count = len(made.classes)
    assert made.picture.shape == (size, size, 3)
    assert made.picture.dtype == np.uint8
    assert made.masks.shape == (count, size, size)
    assert made.masks.dtype == np.bool_
    assert len(made.outlines) == count
    assert (made.masks.sum(axis=0) <= 1).all(), "a pixel belongs to one object or to none"
    assert made.masks.any(axis=(1, 2)).all()
    assert set(made.classes.tolist()) <= set(range(len(NAMES)))


@given(SEEDS, st.integers(0, 1000), st.sampled_from([64, 160]))
def test_the_outline_filled_is_the_mask(seed: int, index: int, size: int) -> None:
    made = sample(seed, index, size)
    for mask, outline in zip(made.masks, made.outlines, strict=True):
        assert outline.dtype == np.float32
        assert outline.min() >= 0
        assert outline.max() <= 1
        again = filled(outline, size)
        np.testing.assert_array_equal(again, mask)
        assert parts_of(mask) == 1


def test_a_ring_keeps_its_hole_in_one_outline() -> None:
    for index in range(200):
        made = sample(0, index, 160)
        for kind, mask, outline in zip(made.classes, made.masks, made.outlines, strict=True):
            _, holes = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
            if NAMES[kind] == "ring" and len(holes[0]) == 2:
                x, y = outline.T.astype(np.float64) * 160
                area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
                assert area == pytest.approx(mask.sum(), rel=0.02), "the bridge encloses nothing"
                return
    pytest.fail("no ring was whole")


def test_a_set_has_every_class_empty_pictures_and_objects_that_hide_others() -> None:
    made = [sample(0, index, 96) for index in range(150)]
    counts = np.bincount(np.concatenate([each.classes for each in made]), minlength=len(NAMES))
    assert counts.min() > counts.max() / 2
    assert any(not len(each.classes) for each in made)
    touching = 0
    for each in made:
        for upper in range(1, len(each.masks)):
            rim = cv2.dilate(each.masks[upper].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            touching += bool((each.masks[:upper] & rim).any())
    assert touching > 50


def test_objects_stand_out_and_are_painted_within_their_mask_alone() -> None:
    for index in range(40):
        made = sample(1, index, 96)
        ground = made.picture[~made.masks.any(axis=0)].astype(int).mean(axis=0)
        for mask in made.masks:
            assert abs(made.picture[mask].astype(int).mean(axis=0) - ground).sum() > 40


# -- geometry -----------------------------------------------------------------------------------------------------

AREAS = {
    "disc": np.pi,
    "ring": np.pi * (1 - 0.55**2),
    "square": 2.0,
    "triangle": 3 * np.sqrt(3) / 4,
    "star": 10 * 0.5 * 0.4 * np.sin(np.pi / 5),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("angle", [0, 100, 777])
def test_areas_are_those_of_the_formulas(name: str, angle: int) -> None:
    radius = 60
    mask = draw(name, whole(160), 80 * UNIT + 3, 80 * UNIT - 5, radius * UNIT, angle)
    assert mask.sum() == pytest.approx(AREAS[name] * radius**2, rel=0.01)


def test_a_pixel_belongs_to_the_shape_if_its_centre_does() -> None:
    square = polygon(whole(6), [(UNIT, UNIT), (4 * UNIT, UNIT), (4 * UNIT, 3 * UNIT), (UNIT, 3 * UNIT)])
    expected = np.zeros((6, 6), np.bool_)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(square, expected)
    small = disc(whole(3), UNIT + UNIT // 2, UNIT + UNIT // 2, UNIT)
    np.testing.assert_array_equal(small, [[0, 1, 0], [1, 1, 1], [0, 1, 0]])


@given(st.integers(0, TURN - 1), st.integers(3, 10), st.integers(40, 90), st.booleans())
@example(1003, 3, 52, True)  # an edge along a row of centres
def test_the_direction_of_an_outline_does_not_matter(angle: int, count: int, radius: int, star: bool) -> None:
    radii = [radius * UNIT // (1 + star * (index % 2)) for index in range(count)]
    outline = corners(100 * UNIT, 100 * UNIT, radii, angle)
    forth = polygon(whole(200), outline)
    back = polygon(whole(200), outline[::-1])
    # Centres that lie on an edge may fall to either side; others may not.
    rows, columns = np.nonzero(forth ^ back)
    x, y = columns * UNIT + UNIT // 2, rows * UNIT + UNIT // 2
    ends = zip(outline, [*outline[1:], outline[0]], strict=True)
    on_edge = [(bx - ax) * (y - ay) == (by - ay) * (x - ax) for (ax, ay), (bx, by) in ends]
    assert np.any(on_edge, axis=0).all()
    reference = np.zeros((200, 200), np.uint8)
    exact = np.array(outline) * (1 << 4) // UNIT - 8  # OpenCV's corners are relative to the centres of pixels
    cv2.fillPoly(reference, [exact.astype(np.int32)], (1,), shift=4)
    rim = cv2.dilate(reference, np.ones((3, 3), np.uint8)) - cv2.erode(reference, np.ones((3, 3), np.uint8))
    assert not ((reference > 0) ^ forth)[rim == 0].any()


# -- files --------------------------------------------------------------------------------------------------------


def test_files_hold_the_pictures_and_their_labels(tmp_path: Path) -> None:
    path = make_shapes(tmp_path / "out", count=3, val=2, seed=5, imgsz=96)
    assert path == tmp_path / "out" / "data.yaml"
    read = read_description(path)
    assert tuple(read.names.values()) == NAMES
    assert {split: len(list((path.parent / places[0]).iterdir())) for split, places in read.splits.items()} == {
        "train": 3,
        "val": 2,
    }
    for index in range(3):
        made = sample(5, index, 96)
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / f"out/images/train/{index:06}.png")), made.picture)
        rows = [line.split() for line in (tmp_path / f"out/labels/train/{index:06}.txt").read_text().splitlines()]
        assert [int(row[0]) for row in rows] == made.classes.tolist()
        for row, mask in zip(rows, made.masks, strict=True):
            outline = np.array(row[1:], np.float32).reshape(-1, 2)
            np.testing.assert_array_equal(filled(outline, 96), mask)


def test_splits_share_no_picture_and_a_longer_one_begins_alike(tmp_path: Path) -> None:
    make_shapes(tmp_path / "a", count=2, val=2, imgsz=64)
    make_shapes(tmp_path / "b", count=3, val=2, test=1, imgsz=64)
    files = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a/images").rglob("*.png")}
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    contents = [path.read_bytes() for path in (tmp_path / "b/images").rglob("*.png")]
    assert len(set(contents)) == len(contents) == 6
    assert set(read_description(tmp_path / "b/data.yaml").splits) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": -1}, "count=-1"),
        ({"imgsz": 8}, "imgsz=8"),
        ({"imgsz": "big"}, "imgsz='big'"),
        ({"count": 0, "val": 0}, "at least one picture"),
        ({"cuont": 3}, "Unknown option 'cuont' for data shapes. Did you mean 'count'?"),
    ],
)
def test_options_that_make_no_sense_are_one_line_and_nothing_is_made(
    tmp_path: Path, given: dict[str, object], words: str
) -> None:
    with pytest.raises(OptionError) as caught:
        make_shapes(tmp_path / "out", **given)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="it is not empty; give a new folder"):
        make_shapes(tmp_path, count=1, val=0, imgsz=64)
    with pytest.raises(OutputError, match="in the way"):
        make_shapes(tmp_path / "mine.txt", count=1, val=0, imgsz=64)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert make_shapes(tmp_path / "empty", count=1, val=0, imgsz=64).is_file()


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(path: Path, data: bytes) -> int:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, os.strerror(28))
        return len(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"Cannot write '.*out': the disk is full"):
        make_shapes(tmp_path / "new" / "out", count=5, imgsz=64)
    assert len(calls) == 3
    assert not list(tmp_path.iterdir())


def test_the_catalogue_generates_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from segkit.core.data.named.entries import table

    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path))
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    monkeypatch.setitem(table(), "shapes.yaml", replace(entry("shapes"), pictures={"train": 2, "val": 1}))
    path = locate("shapes", download=True)
    assert path == tmp_path / "shapes/shapes.yaml"
    assert len(list((tmp_path / "shapes/images/train").iterdir())) == 2
    picture = cv2.imread(str(tmp_path / "shapes/images/train/000001.png"))
    np.testing.assert_array_equal(picture, sample(0, 1).picture)
    assert {item.name for item in tmp_path.iterdir() if item.suffix != ".lock"} == {"shapes"}


def test_the_catalogue_generates_the_splits_that_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from segkit.core.data.named.entries import table
    from segkit.core.data.named.get import get

    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path))
    monkeypatch.setitem(table(), "shapes.yaml", replace(entry("shapes"), pictures={"train": 2, "val": 1}))
    place = get("shapes", splits=["val"])
    assert [path.name for path in (place.parent / "images").iterdir()] == ["val"]
    assert list(read_description(place).splits) == ["val"]
    (kept,) = (place.parent / "images/val").iterdir()
    before = kept.stat().st_mtime_ns
    assert list(read_description(get("shapes")).splits) == ["train", "val"]
    assert len(list((place.parent / "images/train").iterdir())) == 2
    assert kept.stat().st_mtime_ns == before


def test_what_a_killed_run_left_is_swept_up_by_the_next(tmp_path: Path) -> None:
    code = f"from segkit.core.data.shapes.files import make_shapes; make_shapes({str(tmp_path / 'out')!r}, count=10000)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob(".out.*/images/train/*.png")):
            assert process.poll() is None
        process.kill()
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir())
    make_shapes(tmp_path / "out", count=1, imgsz=64)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
