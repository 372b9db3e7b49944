"""Drawing: distinct colours, readable labels inside the picture, tints only where the masks are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.inference import draw
from segkit.core.inference.masks import InstanceMasks
from segkit.core.ink.colors import PALETTE, Color, color_of, ink_on
from segkit.core.ink.tags import label

BLUE = PALETTE[0]


def lab(colors: list[Color]) -> np.ndarray:
    """CIELAB (D65) of BGR colours, by the definitions of sRGB and CIE 15."""
    rgb = np.array(colors, float)[:, ::-1] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_any_two_of_eighty_colours_are_far_apart() -> None:
    points = lab([color_of(index) for index in range(80)])
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 21
    assert apart[:10, :10].min() > 31, "few classes are told apart more easily still"


def test_every_class_index_has_a_colour_and_always_the_same() -> None:
    assert all(len(color_of(index)) == 3 for index in (0, 79, 80, 1203, 10**9))
    assert color_of(3) == color_of(83)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_is_readable_on_every_background(paper: Color) -> None:
    def luminance(color: Color) -> float:
        rgb = np.array(color)[::-1] / 255
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    bright, dark = sorted([luminance(paper), luminance(ink_on(paper))], reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5, "the contrast that WCAG 2 asks for"


def test_a_mask_tints_its_pixels_and_leaves_the_rest() -> None:
    mask = np.zeros((1, 80, 120), bool)
    mask[0, 20:60, 30:90] = True
    mask[0, 35:45, 50:70] = False
    canvas = np.full((80, 120, 3), 200, np.uint8)
    draw.paint_masks(canvas, InstanceMasks.from_dense(mask), [BLUE], line_width=1)
    tint = np.rint(200 * (1 - draw.OPACITY) + np.array(BLUE) * draw.OPACITY)
    assert np.array_equal(canvas[25, 35], tint)
    assert canvas[40, 60].tolist() == [200] * 3, "a hole stays open"
    near = np.zeros((80, 120), bool)
    near[17:63, 27:93] = True
    assert (canvas[~near] == 200).all()
    assert np.abs(canvas[20, 60].astype(int) - BLUE).max() < 40, "the outline is in the full colour"


def test_a_small_mask_stays_visible_on_a_large_one() -> None:
    masks = np.zeros((2, 60, 60), bool)
    masks[0, 25:35, 25:35] = True
    masks[1, 5:55, 5:55] = True
    one_way, other_way = (np.full((60, 60, 3), 128, np.uint8) for _ in range(2))
    draw.paint_masks(one_way, InstanceMasks.from_dense(masks), [PALETTE[0], PALETTE[1]], 1)
    draw.paint_masks(other_way, InstanceMasks.from_dense(masks[::-1]), [PALETTE[1], PALETTE[0]], 1)
    assert np.array_equal(one_way, other_way)
    assert one_way[30, 30, 0] > one_way[10, 10, 0], "blue above red"


def test_masks_of_every_shape_and_place_are_drawn() -> None:
    masks = np.zeros((5, 40, 50), bool)
    masks[0] = True
    masks[1, 0, 0] = masks[2, 39, 49] = True
    masks[3, :, 7] = True
    canvas = np.zeros((40, 50, 3), np.uint8)
    draw.paint_masks(canvas, InstanceMasks.from_dense(masks), list(PALETTE[:5]), 3)
    assert canvas.any(axis=2).all()


def painted(size: tuple[int, int], boxes: list[list[float]], texts: list[str], font_size: int = 14) -> np.ndarray:
    canvas = np.zeros((*size, 3), np.uint8)
    colors = [color_of(index) for index in range(len(boxes))]
    draw.paint_labels(canvas, np.array(boxes), texts, colors, line_width=2, font_size=font_size)
    return canvas


def whole_label_at(canvas: np.ndarray, text: str, color: Color, font_size: int = 14) -> bool:
    drawn = label(text, font_size, color)
    windows = np.lib.stride_tricks.sliding_window_view(canvas, drawn.shape)[:, :, 0]
    rows = np.argwhere((windows[:, :, 0] == drawn[0]).all(axis=(2, 3)))
    return any(np.array_equal(windows[y, x], drawn) for y, x in rows)


@pytest.mark.parametrize(
    "box",
    [[0, 0, 20, 20], [180, 0, 200, 20], [0, 80, 20, 100], [180, 80, 200, 100], [0, 0, 200, 100], [90, 40, 110, 60]],
)
def test_a_label_lies_wholly_inside_the_picture(box: list[float]) -> None:
    assert whole_label_at(painted((100, 200), [box], ["person 0.87"]), "person 0.87", BLUE)


def test_labels_of_boxes_in_one_place_do_not_cover_each_other() -> None:
    boxes = [[40, 60, 160, 140]] * 4
    texts = [f"object {index}" for index in range(4)]
    canvas = painted((200, 200), boxes, texts)
    for index, text in enumerate(texts):
        assert whole_label_at(canvas, text, color_of(index)), text


def test_where_there_is_no_room_the_best_label_lies_on_top() -> None:
    texts = [f"object {index}" for index in range(30)]
    canvas = painted((60, 100), [[10, 20, 90, 50]] * 30, texts)
    assert whole_label_at(canvas, "object 0", color_of(0))


def test_a_label_wider_than_the_picture_is_set_smaller_or_left_out() -> None:
    smaller = painted((60, 80), [[5, 30, 60, 50]], ["traffic light 0.87"], 20)
    assert smaller.any()
    assert not painted((1600, 9), [[0, 100, 9, 300]], ["person 0.87"]).any()
    assert not painted((1, 1), [[0, 0, 1, 1]], ["person 0.87"]).any()


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.lists(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(1, 9),
)
def test_boxes_anywhere_can_be_drawn(size: tuple[int, int], boxes: list[list[float]], width: int) -> None:
    canvas = np.zeros((*size, 3), np.uint8)
    colors = [color_of(index) for index in range(len(boxes))]
    draw.paint_boxes(canvas, np.array(boxes), colors, width)
    draw.paint_labels(canvas, np.array(boxes), ["x"] * len(boxes), colors, line_width=width, font_size=12)
    assert canvas.any()


def test_lines_and_letters_grow_with_the_picture() -> None:
    small, large = (240, 320), (3000, 4000)
    assert draw.line_width_for(small) >= 1
    assert draw.line_width_for(large) > 2 * draw.line_width_for(small)
    assert draw.font_size_for(large) > 2 * draw.font_size_for(small) >= 18


def test_pillow_is_loaded_only_for_text() -> None:
    code = (
        "import sys, numpy as np; from segkit.core.inference.results import Results;"
        "r = Results(np.zeros((60, 80, 3), np.uint8), '', {0: 'x'}, [[5, 5, 50, 50, .9, 0]]);"
        "r.plot(labels=False); assert 'PIL' not in sys.modules; r.plot(); assert 'PIL' in sys.modules;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
