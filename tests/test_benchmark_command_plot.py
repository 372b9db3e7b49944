"""What a benchmark shows: a plot with a label for every point, none over another; a table that fits the terminal."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit._benchmark_report import BenchmarkReport, BenchmarkRow
from segkit.cli.benchmark import _show
from segkit.cli.output import Output
from segkit.core.backend.options import validate
from segkit.core.errors import OutputError
from segkit.core.validation.benchmark_arguments import BenchmarkArguments
from segkit.core.validation.label_places import Box, place
from segkit.core.validation.scatter import LOOKS, Dot, write_scatter

FRAME = Box(0, 0, 1000, 700)
POINT = st.tuples(st.floats(20, 800), st.floats(20, 680))


@given(st.lists(st.tuples(POINT, st.floats(20, 110)), min_size=1, max_size=16))
def test_labels_cover_neither_each_other_nor_a_point(given_points: list[tuple[tuple[float, float], float]]) -> None:
    points, sizes = [point for point, _ in given_points], [(width, 18.0) for _, width in given_points]
    labels = place(points, sizes, FRAME, 8)
    assert not any(one.meets(other) for one, other in combinations(labels, 2))
    assert not any(label.meets(Box(x - 7, y - 7, x + 7, y + 7)) for label in labels for x, y in points)
    assert all(label.lies_in(FRAME) for label in labels)
    for label, (width, height) in zip(labels, sizes, strict=True):
        assert label.right - label.left == pytest.approx(width)
        assert label.top - label.bottom == pytest.approx(height)


def test_a_lone_label_is_just_beside_its_point() -> None:
    assert place([(100, 100)], [(50, 20)], FRAME, 8) == [Box(108, 90, 158, 110)]
    assert place([(960, 100)], [(50, 20)], FRAME, 8) == [Box(902, 90, 952, 110)]


def test_where_there_is_no_room_every_point_still_has_a_label() -> None:
    assert len(place([(10, 10)] * 30, [(90, 20)] * 30, Box(0, 0, 100, 30), 5)) == 30


def test_every_precision_has_its_colour(tmp_path: Path) -> None:
    dots = [Dot(f"$x_$ {name}", name, 30.0 + 10 * at, 0.36 + at / 100) for at, name in enumerate(LOOKS)]
    write_scatter(dots, tmp_path / "plot.png", "a name with $ and _")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture.shape == (800, 1200, 3)
    for colour in ((0xBF, 0x5F, 0x1F), (0x1A, 0x57, 0xC2), (0x4F, 0x7D, 0x2E)):
        assert (np.abs(picture.astype(int) - colour).max(axis=2) < 8).sum() > 150


def test_a_plot_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "plot.png").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_scatter([Dot("onnx", "fp32", 30.0, 0.3)], tmp_path / "plot.png", "title")


@pytest.mark.parametrize(
    "text", ["onnx,torchscript", "[onnx, torchscript]", ["onnx", "torchscript"], "onnx torchscript"]
)
def test_formats_are_a_list_in_any_spelling(text: str | list[str]) -> None:
    assert validate(BenchmarkArguments, {"format": text}, "benchmark").format == ["onnx", "torchscript"]


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 10), ({"pictures": 3}, 3), ({"pictures": 30}, 10), ({"fraction": 0.25}, 2), ({"fraction": 0.01}, 1)],
)
def test_as_many_pictures_as_are_asked_for(options: dict[str, float], count: int) -> None:
    assert validate(BenchmarkArguments, options, "benchmark").share(10) == count


def test_the_bound_depends_on_the_precision_unless_it_is_given() -> None:
    own = BenchmarkArguments()
    assert own.bound_of("fp32") == 0.002
    assert own.bound_of("fp32") < own.bound_of("fp16") < own.bound_of("int8")
    assert BenchmarkArguments(bound=0.1).bound_of("int8") == 0.1


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_narrow_terminal_has_fewer_columns_and_no_number_in_two_lines(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    times = {"export_s": 12.3, "load_ms": 123.4, "first_ms": 123.4, "run_ms": 123.4, "total_ms": 234.5}
    scores = {"box_map": 0.4, "mask_map": 0.3, "box_difference": 0.0, "mask_difference": -0.0012}
    row = BenchmarkRow("torchscript fp16", "torchscript", "fp16", size=13_000_000, within=True, **times, **scores)
    _show(BenchmarkReport("n.pt", "data.yaml", 8, (row,)), Output())
    title, rule, line = capsys.readouterr().out.splitlines()
    assert max(map(len, (title, rule, line))) <= width
    assert "torchscript fp16" in line
    assert line.rstrip().endswith("-0.0012")
    assert ("first ms" in title) is (width > 120)
