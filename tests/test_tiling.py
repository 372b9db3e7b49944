"""Geometry of views: tiles cover a picture, and what a view shows is mapped back to where it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.errors import OptionError
from segkit.core.images import ImageBatch
from segkit.core.inference._resample import Window
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.tiling import VARIANTS, View, fits, tiles

sides = st.integers(1, 3000)
tile_sides = st.integers(32, 800)


@given(st.tuples(sides, sides), st.tuples(tile_sides, tile_sides), st.floats(0, 0.9))
def test_tiles_cover_the_picture_exactly_with_at_least_the_overlap(size, tile, overlap):
    windows = tiles(size, tile, overlap)
    assert len(set(windows)) == len(windows)
    for axis in (0, 1):
        spans = sorted({(window[axis], window[axis + 2]) for window in windows})
        assert spans[0][0] == 0
        assert spans[-1][1] == size[axis]
        assert {stop - start for start, stop in spans} == {min(tile[axis], size[axis])}
        shared = [stop - start for (_, stop), (start, _) in pairwise(spans)]
        assert all(pixels >= overlap * tile[axis] - 1e-9 for pixels in shared)
        assert not shared or max(shared) - min(shared) <= 1, "evenly spread"
    rows, columns = ({(w[axis], w[axis + 2]) for w in windows} for axis in (0, 1))
    assert len(windows) == len(rows) * len(columns), "every row of tiles is complete"


@given(st.tuples(sides, sides), st.tuples(tile_sides, tile_sides), st.floats(0, 0.9))
def test_no_tile_could_be_left_out(size, tile, overlap):
    for axis in (0, 1):
        count = len({window[axis] for window in tiles(size, tile, overlap)})
        step = max(int(tile[axis] * (1 - overlap)), 1)
        assert count == 1 or tile[axis] + (count - 2) * step < size[axis]


@given(st.tuples(sides, sides), st.tuples(tile_sides, tile_sides))
def test_a_picture_that_fits_is_one_tile(size, tile):
    assert fits(size, tile) == (tiles(size, tile, 0.2) == [Window(0, 0, *size)])


@given(
    st.tuples(st.integers(48, 300), st.integers(48, 300)),
    st.sampled_from(VARIANTS),
    st.booleans(),
    st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_the_network_sees_a_view_where_its_letterbox_says(size, variant, minimal, corner):
    """A white dot at a known place of the window lies where boxes are mapped from."""
    height, width = size
    top, left = corner
    view = View(Window(top, left, top + height, left + width), *variant)
    picture = np.zeros((top + height + 5, left + width + 5, 3), np.uint8)
    y, x = height // 3, width // 5
    y2, x2 = y + height // 4, x + width // 4
    picture[top + y : top + y2, left + x : left + x2] = 255
    box = view.letterbox((160, 224), minimal=minimal)
    batch = ImageBatch([view.pixels(picture, box)], (160, 224), minimal=minimal)
    assert batch.size == box.target
    rows, columns = np.nonzero(batch.u8_nhwc[0].min(axis=2) > 127)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    mapped = view.to_picture(box.to_source(seen))[0]
    pixel = max(1 / side for side in box.scale)
    np.testing.assert_allclose(mapped, [left + x, top + y, left + x2, top + y2], atol=1 + pixel)


def test_a_smaller_view_keeps_the_input_and_widens_its_border():
    box = View(Window(0, 0, 480, 640), 0.5).letterbox((640, 640), minimal=False)
    assert (box.target, box.resized, box.top, box.left) == ((640, 640), (240, 320), 200, 160)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 16}, "tile='16,16' is not usable: give sides of 32 pixels or more"),
        ({"tile": "abc"}, "Option tile='abc' is not usable: give one whole number"),
        ({"tile": 0}, "Option tile=0 is not usable: a side must be at least 1"),
        ({"overlap": 0.3}, "Option overlap is of tiles: give tile too, e.g. tile=640"),
        ({"tile": 640, "overlap": 1}, "overlap=1"),
    ],
)
def test_sizes_that_make_no_tiles_are_refused_in_one_line(options, words):
    from segkit.core.backend.options import validate

    with pytest.raises(OptionError, match=words):
        validate(PredictArguments, options, "predict")
