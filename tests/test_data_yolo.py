"""Lines of labels: what they mean, what is wrong with them, and that no text whatever ends in anything else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.dataset import open_dataset
from segkit.core.data.labels import Labels, box_of
from segkit.core.data.problems import Kind
from segkit.core.data.reading import crossings
from segkit.core.data.reading.crossings import crosses_itself, self_intersections
from segkit.core.data.reading.yolo import label_of, lines_of, parse, parse_all

FILE = Path("labels/a.txt")
SQUARE = "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


def read(text: str | bytes, classes: int = 3):
    return parse(text.encode() if isinstance(text, str) else text, FILE, classes)


def faults(text: str | bytes):
    return [(problem.line, problem.kind) for problem in read(text)[1]]


def test_a_line_is_a_class_and_the_corners_of_an_outline():
    labels, problems = read(f"2 {SQUARE}\n\n0 0 0 1 0.25 .5 1e0\r\n")
    assert problems == []
    assert labels.classes.tolist() == [2, 0]
    assert [len(shape[0]) for shape in labels.shapes] == [4, 3]
    np.testing.assert_allclose(labels.boxes, [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]], rtol=1e-6)
    assert (labels.crowd.any(), np.isnan(labels.areas).all()) == (False, True)


def test_five_numbers_are_a_box_without_an_outline():
    labels, problems = read("1 0.5 0.4 0.2 0.4")
    assert (labels.shapes, problems) == (((),), [])
    np.testing.assert_allclose(labels.boxes, [[0.4, 0.2, 0.6, 0.6]], rtol=1e-6)


def test_a_box_that_leaves_the_picture_ends_at_its_side():
    np.testing.assert_allclose(read("0 0.05 0.5 0.2 1")[0].boxes, [[0, 0, 0.15, 1]], atol=1e-7)


def test_boxes_among_outlines_are_told_of_and_all_are_used():
    labels, (bad, worse, problem) = read(f"0 {SQUARE}\n9 .5 .5 .2 .2\n0 .5 .5 .2 9\n1 .5 .5 .2 .2\n1 .4 .5 .2 .2")
    assert (bad.line, worse.line) == (2, 3)
    assert (len(labels), problem.kind, problem.line, problem.dropped) == (3, Kind.MIXED, 4, False)
    assert "2 of 3 objects are boxes" in str(problem)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("person 0.1 0.1 0.5 0.1 0.5 0.5", Kind.MALFORMED, "'person 0.1"),
        ("0 0.1 0.1 0.5 0.1 0.5", Kind.MALFORMED, "6 numbers"),
        ("0", Kind.MALFORMED, "1 numbers"),
        ("0, 0.1, 0.1, 0.5, 0.1, 0.5, 0.5", Kind.MALFORMED, "is not a class and numbers"),
        ("0 0.1 0.1 0.5 0.1 0.5 0_5", Kind.MALFORMED, "is not a class and numbers"),
        ("0.5 0.1 0.1 0.5 0.1 0.5 0.5", Kind.MALFORMED, "its class is 0.5"),
        ("nan 0.1 0.1 0.5 0.1 0.5 0.5", Kind.MALFORMED, "its class is nan"),
        ("3 0.1 0.1 0.5 0.1 0.5 0.5", Kind.BAD_CLASS, "class 3; there are 0 to 2"),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", Kind.BAD_CLASS, "class -1"),
        ("0 0.1 0.1", Kind.FEW_POINTS, "one point"),
        ("0 0.1 0.1 1.02 0.1 0.5 0.5", Kind.OUT_OF_RANGE, "from 0.1 to 1.02"),
        ("0 0.1 -0.02 0.5 0.1 0.5 0.5", Kind.OUT_OF_RANGE, "from -0.02 to 0.5"),
        ("0 0.1 nan 0.5 0.1 0.5 0.5", Kind.OUT_OF_RANGE, "nan"),
        ("0 0.5 0.5 inf inf", Kind.OUT_OF_RANGE, "inf"),
        ("0 120 80 240 80 240 160", Kind.OUT_OF_RANGE, "to 240"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", Kind.NO_AREA, "in one line"),
        ("0 0.1 0.1 0.1 0.2 0.1 0.3", Kind.NO_AREA, "in one line"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", Kind.NO_AREA, "in one line"),
        ("0 0.5 0.5 0.2 0", Kind.NO_AREA, "no width or height"),
        ("0 0.5 0.5 -0.005 0.2", Kind.NO_AREA, "no width or height"),
        (f"0 {SQUARE}", Kind.DUPLICATE_ROW, "the same as line 1"),
        (f"0.0  {SQUARE.replace('0.5', '.50')}", Kind.DUPLICATE_ROW, "the same as line 1"),
    ],
)
def test_a_bad_line_is_left_out_and_named_and_its_neighbours_stay(line, kind, words):
    labels, (problem,) = read(f"0 {SQUARE}\n{line}\n1 {SQUARE}\n")
    assert labels.classes.tolist() == [0, 1]
    assert (problem.kind, problem.path, problem.line, problem.dropped) == (kind, FILE, 2, True)
    assert words in problem.words
    assert str(problem).startswith(f"{FILE}:2: {kind}: ")


def test_rounding_beyond_the_sides_is_set_on_them():
    labels, problems = read("0 -0.01 0.2 1.01 0.2 1.005 1")
    assert problems == []
    np.testing.assert_allclose(labels.shapes[0][0], np.float32([[0, 0.2], [1, 0.2], [1, 1]]))
    np.testing.assert_allclose(labels.boxes, np.float32([[0, 0.2, 1, 1]]))


def test_an_outline_that_is_set_on_one_side_altogether_has_no_area():
    assert faults("0 1.0 0.2 1.005 0.5 1.01 0.7") == [(1, Kind.NO_AREA)]


def test_an_even_figure_of_eight_has_an_area_though_its_loops_cancel():
    labels, problems = read("0 0 0 1 1 1 0 0 1")
    assert (len(labels), problems) == (1, [])
    assert crosses_itself(labels.shapes[0][0])


def test_an_empty_file_is_a_picture_without_objects():
    for text in ("", "\n\n", "  \r\n", "\ufeff"):
        assert (len(read(text)[0]), read(text)[1]) == (0, [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_editors_put_before_a_text_is_no_fault(encoding):
    labels, problems = read(f"1 {SQUARE}\n2 {SQUARE}\n".encode(encoding))
    assert (labels.classes.tolist(), problems) == ([1, 2], [])


def test_a_file_that_is_no_text_is_one_problem():
    assert faults(b"\xff\xfe\x00\xd8\x01") == [(None, Kind.UNREADABLE_LABEL)]
    assert faults(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") == [(None, Kind.UNREADABLE_LABEL)]


def test_faults_are_counted_to_their_own_files_among_many():
    files = [(f"{i % 4} {SQUARE}\n0 2 2 2 2 2 2\n1 .5 .5 .2 .2".encode(), Path(f"{i}.txt")) for i in range(9)]
    for i, (labels, problems) in enumerate(parse_all([*files, (b"", Path("empty.txt"))], 3)[:-1]):
        bad = i % 4 == 3
        assert labels.classes.tolist() == ([1] if bad else [i % 4, 1])
        kinds = [Kind.BAD_CLASS, Kind.OUT_OF_RANGE] if bad else [Kind.OUT_OF_RANGE, Kind.MIXED]
        assert [problem.kind for problem in problems] == kinds
        assert [problem.line for problem in problems] == ([1, 2] if bad else [2, 3])
        assert {problem.path for problem in problems} == {Path(f"{i}.txt")}


LINES = st.lists(
    st.lists(st.one_of(st.floats(width=32).map(repr), st.floats(0, 1).map(repr), st.text(max_size=4)), max_size=12).map(
        " ".join
    ),
    max_size=6,
).map("\n".join)


@given(st.one_of(st.text(), LINES).map(lambda text: text.encode("utf-8", "replace")) | st.binary())
def test_whatever_a_file_holds_is_labels_or_problems(data):
    labels, problems = read(data)
    lines = len(data.splitlines()) + 1
    dropped = sum(problem.dropped for problem in problems)
    assert len(labels) + dropped <= max(lines, len(data.decode("utf-16", "replace").splitlines())) + 1
    assert ((labels.classes >= 0) & (labels.classes < 3)).all()
    assert ((labels.boxes >= 0) & (labels.boxes <= 1)).all()
    assert (labels.boxes[:, 2:] > labels.boxes[:, :2]).all()
    for shape, box in zip(labels.shapes, labels.boxes, strict=True):
        assert not shape or (box_of(shape) == box).all()


TRIANGLES = st.tuples(
    st.integers(0, 9), st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=3, max_size=9)
)


@given(st.lists(TRIANGLES, max_size=5), st.booleans())
def test_lines_that_were_written_are_read_again(objects, boxes):
    outlines = [np.array(points, np.float32) for _, points in objects]
    corners = np.array([box_of([outline]) for outline in outlines]).reshape(-1, 4)
    labels = Labels.of([index for index, _ in objects], [() if boxes else (o,) for o in outlines], corners)
    found, problems = parse("\n".join(lines_of(labels)).encode(), FILE, 10)
    gone = {problem.line for problem in problems if problem.dropped}
    assert {problem.kind for problem in problems} <= {Kind.NO_AREA, Kind.DUPLICATE_ROW}
    kept = labels[np.array([line not in gone for line in range(1, len(labels) + 1)], bool)]
    assert found.classes.tolist() == kept.classes.tolist()
    np.testing.assert_allclose(found.boxes, kept.boxes, atol=2e-7)
    for one, two in zip(found.shapes, kept.shapes, strict=True):
        assert len(one) == len(two)
        assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_several_parts_do_not_fit_in_one_line():
    part = np.float32([[0, 0], [1, 0], [0, 1]])
    with pytest.raises(ValueError, match="one outline first"):
        lines_of(Labels.of([0], [(part, part)], [[0, 0, 1, 1]]))


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("/set/images/val/a.jpg", "/set/labels/val/a.txt"),
        ("/images/set/images/val/a.b.png", "/images/set/labels/val/a.b.txt"),
        ("images/a.jpg", "labels/a.txt"),
        ("/set/my-images/a.jpg", "/set/my-images/a.txt"),
        ("/set/images/a", "/set/labels/a.txt"),
    ],
)
def test_the_last_folder_of_pictures_has_one_of_labels_beside_it(picture, label):
    assert label_of(picture) == Path(label)


def cross(first, second):
    """Whether two sides cross, each of two corners, by the orientation of three points."""

    def turn(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    (a, b), (c, d) = first, second
    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=9))
def test_crossing_sides_are_those_that_a_pair_by_pair_look_finds(points):
    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    expected = any(cross(one, two) for i, one in enumerate(sides) for two in sides[:i])
    assert crosses_itself(np.array(points, np.float32)) == expected


def test_a_thousand_corners_and_parts_joined_by_a_line_do_not_cross():
    turn = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    circle = 0.5 + 0.4 * np.stack([np.cos(turn), np.sin(turn)], 1)
    assert not crosses_itself(circle.astype(np.float32))
    circle[[200, 700]] = circle[[700, 200]]
    assert crosses_itself(circle.astype(np.float32))
    joined = [[0, 0], [0.2, 0], [0.2, 0.2], [0.6, 0.2], [0.8, 0.2], [0.8, 0.6], [0.6, 0.2], [0.2, 0.2], [0, 0.2]]
    assert not crosses_itself(np.float32(joined))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12))
def test_sides_cross_as_comparing_all_pairs_says(points):
    def turn(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    expected = any(
        turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0 for a, b in sides for c, d in sides
    )
    assert crosses_itself(np.float32(points)) == expected


def test_an_outline_of_very_many_corners_takes_no_table_of_all_pairs(monkeypatch):
    turn = np.linspace(0, 2 * np.pi, 200_000, endpoint=False)
    circle = 0.5 + 0.4 * np.stack([np.cos(turn), np.sin(turn)], 1)
    looked_at = []
    apart = crossings._apart
    monkeypatch.setattr(crossings, "_apart", lambda *each: looked_at.append(len(each[0])) or apart(*each))
    assert not crosses_itself(circle.astype(np.float32))
    assert max(looked_at) < 1_000_000
    assert sum(looked_at) < 20_000_000


def test_an_outline_that_crosses_itself_is_told_of_by_file_and_line_and_used(data_set):
    (data_set / "labels/a.txt").write_text("0 9 9 9 9 9 9\n\n0 .1 .1 .5 .1 .5 .5\n1 .1 .1 .9 .9 .9 .1 .1 .8\n")
    found = open_dataset(data_set / "data.yaml", cache=False)
    (problem,) = self_intersections(found, found.problems)
    assert (problem.kind, problem.line, problem.dropped) == (Kind.SELF_INTERSECTION, 4, False)
    assert problem.path == data_set / "labels/a.txt"
    assert len(found[0].labels) == 2


@pytest.fixture
def data_set(tmp_path):
    for name in ("images/a.png", "images/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 16, 3), np.uint8))
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("val: images\nnames: [x, y]\n")
    return tmp_path
