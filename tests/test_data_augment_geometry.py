"""Changes of pictures and labels: what each does to pixels and outlines, and that it does the same to both."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segkit.core.data.augment.affine import Motion, affine, matrix
from segkit.core.data.augment.blend import cutmix, mixup
from segkit.core.data.augment.clip import clipped, cut_outline
from segkit.core.data.augment.colour import Tone, toned
from segkit.core.data.augment.filters import worth_keeping
from segkit.core.data.augment.flip import flipped
from segkit.core.data.augment.mosaic import mosaic
from segkit.core.data.augment.outlining import scene_of
from segkit.core.data.augment.paste import paste
from segkit.core.data.augment.pictures import centred, resized
from segkit.core.data.augment.sample import finished
from segkit.core.data.augment.scene import Scene
from segkit.core.data.labels import Labels, box_of
from segkit.core.data.raster import fill
from segkit.core.rle import encode

SIDE = 160
unit = st.floats(-1, 1, width=32)


@st.composite
def blobs(draw, size=(SIDE, SIDE)):
    """A star-shaped outline well inside a frame, in pixels."""
    count = draw(st.integers(5, 14))
    radii = np.array(draw(st.lists(st.floats(14, 34), min_size=count, max_size=count)))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centre = np.array([draw(st.floats(0.3, 0.7)) * size[1], draw(st.floats(0.3, 0.7)) * size[0]])
    return (centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)


def scene(*outlines: np.ndarray, size: tuple[int, int] = (SIDE, SIDE), grey: int = 0) -> Scene:
    """A scene whose picture shows its objects in white."""
    picture = np.full((*size, 3), grey, np.uint8)
    for outline in outlines:
        cv2.fillPoly(picture, [np.round((outline - 0.5) * 16).astype(np.int32)], (255, 255, 255), shift=4)
    sides = np.float32(size[::-1])
    boxes = [box_of([outline / sides]) for outline in outlines]
    return scene_of(picture, Labels.of(range(len(outlines)), [(outline / sides,) for outline in outlines], boxes))


def square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side)], np.float32)


def area(outline: np.ndarray) -> float:
    return float(cv2.contourArea(outline.astype(np.float32)))


def shown_and_drawn(after: Scene) -> float:
    """IoU of what is white in the picture and what the outlines fill."""
    white = after.picture[..., 0] > 127
    filled = np.zeros(after.size, np.bool_)
    for outline in after.outlines:
        mask, top, left = fill([np.round(outline - 0.5).astype(np.int32)], after.size)
        filled[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
    return float((white & filled).sum() / max((white | filled).sum(), 1))


class TestScenes:
    def test_crowds_are_left_out_and_a_box_stands_for_an_unknown_shape(self):
        corner = np.array([(0.1, 0.1), (0.3, 0.1), (0.3, 0.4)], np.float32)
        boxes = [(0.1, 0.1, 0.3, 0.4), (0, 0, 1, 1), (0.5, 0.5, 0.75, 1)]
        labels = Labels.of([3, 4, 5], [(corner,), (corner,), ()], boxes, crowd=[False, True, False])
        made = scene_of(np.zeros((100, 200, 3), np.uint8), labels)
        assert made.classes.tolist() == [3, 5]
        assert made.outlined.tolist() == [True, False]
        assert np.allclose(made.boxes, [(20, 10, 60, 40), (100, 50, 150, 100)])
        assert made.labels().shapes[1] == ()

    def test_run_lengths_with_holes_and_parts_come_out_pixel_by_pixel(self):
        mask = np.zeros((64, 80), np.bool_)
        mask[5:40, 5:40] = True
        mask[15:25, 12:30] = False
        mask[50:60, 60:75] = True
        labels = Labels.of([0], [encode(mask, 0, 0, mask.shape)], [(0, 0, 1, 1)])
        made = scene_of(np.zeros((64, 80, 3), np.uint8), labels)
        crop = fill([outline.astype(np.int32) for outline in made.outlines], mask.shape)
        again = np.zeros_like(mask)
        again[crop.top : crop.top + crop.mask.shape[0], crop.left : crop.left + crop.mask.shape[1]] = crop.mask
        assert np.array_equal(again, mask)

    def test_choosing_objects_keeps_each_ones_own_outlines(self):
        parts = [square(10, 10, 20), square(50, 50, 8)]
        both = scene(square(100, 100, 30), *parts).with_outlines(
            [square(100, 100, 30), *parts, square(5, 5, 3)], [0, 1, 1, 2]
        )[0]
        chosen = both.take(np.array([False, True, True]))
        assert chosen.classes.tolist() == [1, 2]
        assert [[len(part) for part in object_] for object_ in chosen.parts()] == [[4, 4], [4]]
        assert np.array_equal(chosen.boxes[0], [10, 10, 58, 58])


class TestClip:
    @given(blobs(), st.tuples(st.integers(0, SIDE), st.integers(0, SIDE)))
    def test_four_quarters_are_the_whole(self, outline, centre):
        x, y = (float(side) for side in centre)
        windows = [(0, 0, x, y), (x, 0, SIDE, y), (0, y, x, SIDE), (x, y, SIDE, SIDE)]
        pieces = [cut_outline(outline, window) for window in windows]
        for piece, window in zip(pieces, windows, strict=True):
            assert (piece >= window[:2]).all()
            assert (piece <= window[2:]).all()
        assert sum(area(piece) for piece in pieces if len(piece)) == pytest.approx(area(outline), rel=1e-3, abs=0.1)

    def test_what_would_be_two_pieces_has_the_area_of_both(self):
        fork = np.array([(0, 0), (30, 0), (30, 10), (10, 10), (10, 20), (30, 20), (30, 30), (0, 30)], np.float32)
        cut = cut_outline(fork, (20.0, 0.0, 40.0, 40.0))
        assert area(cut) == 200
        assert (cut.min(axis=0).tolist(), cut.max(axis=0).tolist()) == ([20, 0], [30, 30])

    @given(blobs())
    def test_an_outline_inside_is_not_touched(self, outline):
        before = scene(outline)
        assert clipped(before)[0] is before

    def test_objects_outside_are_dropped_and_the_others_keep_their_classes(self):
        before = scene(square(10, 10, 20), square(100, 100, 20), square(60, 60, 20))
        after, left = clipped(before, (0.0, 0.0, 70.0, 70.0))
        assert after.classes.tolist() == [0, 2]
        assert left.tolist() == [True, False, True]
        assert np.array_equal(after.boxes[1], [60, 60, 70, 70])


class TestAffine:
    @given(blobs())
    def test_no_motion_changes_nothing(self, outline):
        before = scene(outline)
        after = affine(before, Motion(), before.size)
        assert np.array_equal(after.picture, before.picture)
        assert np.array_equal(after.points, before.points)

    @given(blobs(), *[unit] * 8)
    def test_picture_and_outline_move_together(self, outline, turn, scale, a, b, c, d, x, y):
        motion = Motion(
            180 * turn, 1 + 0.5 * scale, (20 * a, 20 * b), (0.001 * c, 0.001 * d), (0.5 + x / 5, 0.5 + y / 5)
        )
        after = affine(scene(outline), motion, (SIDE, SIDE))
        white = np.count_nonzero(after.picture[..., 0] > 127)
        grey = np.where(after.picture == 114, 0, after.picture).astype(np.uint8)  # the border is no object
        after = after.showing(grey)
        assume(len(after) and white > 600)
        assert shown_and_drawn(after) > 0.9

    @given(blobs(), *[unit] * 6)
    def test_boxes_are_around_outlines_and_inside_the_frame(self, outline, turn, scale, a, c, x, y):
        motion = Motion(180 * turn, 1 + 0.9 * scale, (40 * a, 0), (0.001 * c, 0.001), (0.5 + x, 0.5 + y))
        after = affine(scene(outline, square(0, 0, 40), square(120, 100, 39)), motion, (96, 128))
        for box, parts in zip(after.boxes, after.parts(), strict=True):
            assert np.array_equal(box, box_of(parts))
            assert (box[:2] >= 0).all()
            assert (box[2:] <= (128, 96)).all()
            assert (box[2:] - box[:2] > 2).all()

    def test_a_picture_of_another_size_comes_to_the_middle(self):
        after = affine(scene(square(10, 20, 30), size=(80, 160)), Motion(), (160, 160))
        assert np.array_equal(after.boxes, [(10, 60, 40, 90)])
        assert (after.picture[:40] == 114).all()

    def test_no_tilt_is_so_strong_that_a_picture_is_seen_from_behind(self):
        way = matrix(Motion(tilt=(0.001, -0.001)), (1280, 1280), (640, 640))
        corners = np.array([(0, 0, 1), (1280, 0, 1), (0, 1280, 1), (1280, 1280, 1)])
        assert (corners @ way[2] >= 0.24).all()


class TestFilters:
    old = np.array([(0, 0, 100, 100)], np.float32)

    @pytest.mark.parametrize(
        ("box", "outlined", "keep"),
        [
            ((0, 0, 10.5, 10.5), True, True),
            ((0, 0, 9.5, 9.5), True, False),  # less than a hundredth is left
            ((0, 0, 31, 31), False, False),  # less than a tenth
            ((0, 0, 32, 32), False, True),
            ((0, 0, 2, 90), True, False),  # no wider than two pixels
            ((0, 0, 2.1, 220), True, False),  # a hundred times as long
        ],
    )
    def test_what_is_too_little_is_dropped(self, box, outlined, keep):
        new = np.array([box], np.float32)
        assert worth_keeping(self.old, new, np.array([outlined])).tolist() == [keep]


class TestFlip:
    @given(blobs(), st.booleans(), st.booleans())
    def test_twice_is_not_at_all(self, outline, lr, ud):
        before = scene(outline)
        again = flipped(flipped(before, lr=lr, ud=ud), lr=lr, ud=ud)
        assert np.array_equal(again.picture, before.picture)
        assert np.allclose(again.points, before.points, atol=1e-4)

    @given(blobs(), st.booleans(), st.booleans())
    def test_picture_and_outline_move_together(self, outline, lr, ud):
        assert shown_and_drawn(flipped(scene(outline), lr=lr, ud=ud)) > 0.9

    def test_left_becomes_right(self):
        after = flipped(scene(square(10, 20, 30)), lr=True)
        assert np.array_equal(after.boxes, [(120, 20, 150, 50)])


class TestMosaic:
    @given(blobs(), st.integers(80, 240), st.integers(80, 240))
    def test_every_picture_has_a_corner_at_the_centre_and_takes_its_objects_along(self, outline, x, y):
        after = mosaic([scene(outline)] * 4, (x, y), SIDE)
        assert after.picture.shape == (2 * SIDE, 2 * SIDE, 3)
        assert shown_and_drawn(after) > 0.9
        assert (after.boxes >= 0).all()
        assert (after.boxes <= 2 * SIDE).all()

    def test_pictures_lie_in_their_quarters(self):
        tiles = [scene(square(0, 0, 9), size=(80, 160), grey=shade) for shade in (10, 20, 30, 40)]
        after = mosaic(tiles, (150, 170), 160)
        shades = [after.picture[160, 140], after.picture[160, 160], after.picture[200, 140], after.picture[200, 160]]
        assert [int(shade[0]) for shade in shades] == [10, 20, 30, 40]
        assert np.array_equal(after.boxes[-1], [150, 170, 159, 179])
        assert (after.picture[:90] == 114).all()


class TestBlends:
    def test_mixup_shows_both_with_all_objects(self):
        after = mixup(scene(square(10, 10, 20)), scene(square(100, 100, 20)), 0.6)
        assert [int(after.picture[15, 15, 0]), int(after.picture[110, 110, 0])] == [153, 102]
        assert len(after) == 2

    @given(blobs(), blobs(), st.tuples(*[st.integers(0, SIDE)] * 4))
    def test_cutmix_cuts_objects_as_it_cuts_pictures(self, one, other, corners):
        x1, x2, y1, y2 = *sorted(corners[:2]), *sorted(corners[2:])
        after = cutmix(scene(one), scene(other), (float(x1), float(y1), float(x2), float(y2)))
        seen = scene(one).picture.copy()
        seen[y1:y2, x1:x2] = scene(other).picture[y1:y2, x1:x2]
        assert np.array_equal(after.picture, seen)
        total = sum(area(part) for part in after.outlines)
        white = np.count_nonzero(seen[..., 0] > 127)
        assert abs(total - white) < 60 + 0.12 * white  # borders; pieces too small to keep

    def test_an_object_in_two_pieces_stays_one(self):
        after = cutmix(scene(square(20, 20, 100)), scene(), (60.0, 0.0, 70.0, 160.0))
        assert len(after) == 1
        assert np.array_equal(after.boxes, [(20, 20, 120, 120)])
        assert len(after.parts()[0]) == 2


class TestPaste:
    def test_objects_are_pasted_where_they_hide_little(self):
        before = scene(square(10, 10, 30), square(70, 60, 30))
        after = paste(before, flipped(before, lr=True), np.ones(2, np.bool_))
        assert after.classes.tolist() == [0, 1, 0]  # the second one would lie on itself
        assert np.array_equal(after.boxes[2], [120, 10, 150, 40])
        assert shown_and_drawn(after) > 0.9

    def test_nothing_small_is_buried(self):
        before = scene(square(100, 10, 50), square(20, 20, 10))
        after = paste(before, flipped(before, lr=True), np.array([True, False]))
        assert after is before  # the square of 50 would come to lie on that of 10

    def test_only_chosen_ones_of_known_shape(self):
        before = scene(square(10, 10, 30))
        assert paste(before, flipped(before, lr=True), np.zeros(1, np.bool_)) is before
        boxed = scene_of(before.picture, Labels.of([0], [()], [(0.1, 0.1, 0.2, 0.2)]))
        assert paste(boxed, flipped(boxed, lr=True), np.ones(1, np.bool_)) is boxed

    def test_of_a_larger_picture_only_what_fits(self):
        after = paste(scene(size=(80, 80)), scene(square(60, 60, 40)), np.ones(1, np.bool_))
        assert np.array_equal(after.boxes, [(60, 60, 80, 80)])


class TestColour:
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)

    def test_no_change_changes_nothing(self):
        assert toned(self.picture, Tone()) is self.picture

    def test_grey_stays_grey_whatever_the_hue(self):
        grey = np.full((4, 4, 3), 90, np.uint8)
        assert np.array_equal(toned(grey, Tone(hue=0.3, saturation=1.7)), grey)

    def test_factors_scale_what_they_name(self):
        before = cv2.cvtColor(self.picture, cv2.COLOR_BGR2HSV).astype(float)
        after = cv2.cvtColor(toned(self.picture, Tone(value=0.5)), cv2.COLOR_BGR2HSV).astype(float)
        assert np.abs(after[..., 2] - before[..., 2] / 2).max() <= 1
        red = np.full((1, 1, 3), (0, 0, 200), np.uint8)
        assert toned(red, Tone(hue=1 / 3)).tolist() == [[[0, 200, 0]]]


class TestFraming:
    @pytest.mark.parametrize(
        ("size", "expected"), [((427, 640), (214, 320)), ((640, 427), (320, 214)), ((9, 3), (320, 107))]
    )
    def test_the_long_side_is_given_and_the_other_rounded_up(self, size, expected):
        assert resized(np.zeros((*size, 3), np.uint8), 320).shape[:2] == expected

    def test_a_centred_scene_keeps_its_objects(self):
        after = centred(scene(square(10, 10, 20), size=(60, 100)), (100, 100))
        assert np.allclose(after.boxes, [(10, 30, 30, 50)], atol=1e-4)
        assert shown_and_drawn(after.showing(np.where(after.picture == 114, 0, after.picture).astype(np.uint8))) > 0.9


class TestFinished:
    def test_an_object_of_unknown_shape_has_its_box_as_mask(self):
        labels = Labels.of([7], [()], [(0.25, 0.25, 0.75, 0.5)])
        made = finished(scene_of(np.zeros((64, 64, 3), np.uint8), labels), 0, __file__)
        assert made.masks[4:8, 4:12].all()
        assert np.count_nonzero(made.masks) == 32
        assert np.allclose(made.boxes_cxcywh, [(0.5, 0.375, 0.5, 0.25)])

    def test_channels_are_in_the_order_of_the_network(self):
        blue = np.full((32, 32, 3), (255, 0, 0), np.uint8)
        empty = Labels.of((), (), ())
        assert finished(scene_of(blue, empty), 0, __file__).picture[0, 0].tolist() == [0, 0, 255]
        assert finished(scene_of(blue, empty), 0, __file__, bgr=True).picture[0, 0].tolist() == [255, 0, 0]
