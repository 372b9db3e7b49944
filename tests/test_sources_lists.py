"""Lists of sources: text files, tables, standard input; and a folder of everything that a picture file can be."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from films import film
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segkit.core.errors import SourceError
from segkit.core.images.lists import COLUMNS, LIMIT, names_in_lines, names_in_table
from segkit.core.images.sources import open_sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """lists/ beside photos/ with a.png, b.png and clip.mkv (2 frames); work/ is the working folder."""
    for name in ("lists", "photos", "work"):
        (tmp_path / name).mkdir()
    for name in ("photos/a.png", "photos/b.png", "lists/here.png", "work/here.png", "work/there.png"):
        Image.new("RGB", (8, 6), (name.startswith("lists") * 200, 0, 0)).save(tmp_path / name)
    film(tmp_path / "photos" / "clip.mkv", 2, codec="FFV1")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def names(source: object) -> list[str]:
    return [Path(item.path).name for item in open_sources(source)]


def test_a_file_far_too_large_for_a_list_is_not_read(folder: Path) -> None:
    with (folder / "dump.csv").open("wb") as file:
        file.write(b"a.png\n")
        file.truncate(LIMIT + 1)  # nothing but a hole
    with pytest.raises(SourceError, match="the list holds more than 256 MB"):
        open_sources(folder / "dump.csv")


def test_a_text_file_lists_sources_of_every_kind(folder: Path) -> None:
    lines = ["# pictures", "", "../photos/a.png", "  ../photos  ", "\t", "../photos/*.png", "../photos/clip.mkv"]
    (folder / "lists" / "all.txt").write_text("\n".join(lines))
    sources = open_sources(folder / "lists" / "all.txt")
    expected = ["a.png", "a.png", "b.png", "clip.mkv", "clip.mkv", "a.png", "b.png", "clip.mkv", "clip.mkv"]
    assert [Path(item.path).name for item in sources] == expected
    assert sources.known_length == 9


def test_a_listed_path_is_that_of_the_lists_folder_else_of_the_working_folder(folder: Path) -> None:
    path = folder / "lists" / "all.txt"
    path.write_text(f"here.png\nthere.png\n{folder / 'photos' / 'a.png'}\nnowhere.png\n")
    items = list(open_sources("../lists/all.txt"))
    assert [Path(item.path).name for item in items] == ["here.png", "there.png", "a.png", "nowhere.png"]
    assert items[0].picture is not None
    assert items[0].picture[0, 0, 2] == 200, "the one beside the list"
    assert str(items[3].error).startswith("Cannot read '../lists/nowhere.png': no such file or folder")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png\nb.png\n", ["a.png", "b.png"]),
        ("# made by a tool\n\na.png,3\nb.png,4\n", ["a.png", "b.png"]),
        ("label,Image\ncat,a.png\ndog,b.png\n", ["a.png", "b.png"]),
        ("file,path\nx,a.png\ny,b.png\n", ["a.png", "b.png"]),
        ("Source;n\na.png;1\nb.png;2\n", ["a.png", "b.png"]),
        ("id,filename\n1,a.png\n2,b.png\n", ["a.png", "b.png"]),
        ("n\tfile\n1\ta.png\n2\tb.png\n", ["a.png", "b.png"]),
        ('path\n"a, b.png"\n"say ""hi"".png"\n', ["a, b.png", 'say "hi".png']),
        ("n,path\n1,a.png\n2\n3,\n4,b.png\n", ["a.png", "b.png"]),
        ("a;b.png\n", ["a;b.png"]),
        ("path\r\na.png\r\n", ["a.png"]),
        ("", []),
        ("path\n", []),
    ],
)
def test_a_table_lists_sources_in_a_named_or_the_first_column(text: str, expected: list[str]) -> None:
    assert names_in_table(text) == expected


def test_a_table_is_a_source(folder: Path) -> None:
    (folder / "lists" / "all.csv").write_text("n,image\n1,../photos/a.png\n2,there.png\n")
    assert names(folder / "lists" / "all.csv") == ["a.png", "there.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_every_editor_are_read(folder: Path, encoding: str) -> None:
    Image.new("RGB", (4, 4)).save(folder / "lists" / "गाड़ी.png")
    (folder / "lists" / "all.txt").write_bytes("गाड़ी.png\r\nhere.png\r\n".encode(encoding))
    assert names(folder / "lists" / "all.txt") == ["गाड़ी.png", "here.png"]


def test_lists_list_lists_but_never_themselves(folder: Path) -> None:
    lists = folder / "lists"
    (lists / "outer.txt").write_text("here.png\ninner.csv\ninner.csv\n")
    (lists / "inner.csv").write_text("here.png\n")
    assert names(lists / "outer.txt") == ["here.png"] * 3
    (lists / "inner.csv").write_text("here.png\nother.txt\n")
    (lists / "other.txt").write_text("outer.txt\n")
    trail = "outer.txt → inner.csv → other.txt → outer.txt"
    with pytest.raises(SourceError, match=rf"the list holds itself \({trail}\)\.$"):
        open_sources(lists / "outer.txt")
    (lists / "own.txt").write_text("here.png\nown.txt\n")
    with pytest.raises(SourceError, match=r"own.txt': the list holds itself \(own.txt → own.txt\)"):
        open_sources([folder / "photos", lists / "own.txt"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "the list names no sources"),
        ("a.txt", b"# nothing\n \n", "the list names no sources"),
        ("a.csv", b"path,label\n", "the list names no sources"),
        ("a.txt", b"gone.png\n", "gone.png': no such file"),
        ("a.txt", b"~nobody-here/a.png\n", "does not exist"),
        ("a.txt", b"\xe9t\xe9.png\n", "the list is not text in UTF-8"),
        ("a.csv", b'path\n"a.png\n', "the table is malformed"),
        ("a.txt", b"https://[bad/a\n", "bad"),
        ("a.txt", b"x" * 5000, "file name too long|no such file"),
        ("a.streams", b"ftp://host/a\n", "only http, https, rtsp"),
    ],
)
def test_a_list_that_gives_nothing_says_why(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / "lists" / name).write_bytes(content)
    with pytest.raises(SourceError, match=words):
        list(open_sources(folder / "lists" / name))


def test_a_missing_list_and_a_folder_named_like_one(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"did you mean 'photos'"):
        open_sources(folder / "photos.txt")
    (folder / "photos").rename(folder / "photos.txt")
    assert names(folder / "photos.txt") == ["a.png", "b.png", "clip.mkv", "clip.mkv"]


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).map(str.strip).filter(bool)


@given(st.lists(WORDS.filter(lambda word: not word.startswith("#"))))
def test_every_line_of_a_list_comes_back(lines: list[str]) -> None:
    text = "".join(f"  {line}\t\n\n# a word on it\n" for line in lines)
    assert names_in_lines(text) == lines


@given(
    st.sampled_from(COLUMNS),
    st.sampled_from(",;\t"),
    st.lists(st.tuples(WORDS.filter(lambda word: not word.startswith("#")), WORDS)),
)
def test_every_row_of_a_table_comes_back(column: str, separator: str, rows: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerows([("label", column.upper()), *(row for row in rows)])
    assert names_in_table(file.getvalue()) == [name for _, name in rows]


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    assert all(name == name.strip() != "" for name in names_in_lines(text))
    try:
        found = names_in_table(text)
    except csv.Error:
        return
    assert all(name == name.strip() != "" for name in found)


READ = """
import sys
from segkit.core.errors import SourceError
from segkit.core.images.sources import open_sources
try:
    for item in open_sources("-"):
        print(item.path, "error" if item.picture is None else item.picture.shape)
except SourceError as error:
    print(error)
"""


def piped(content: bytes, folder: Path) -> list[str]:
    """What a process says that reads `content` from its standard input."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, input=content, capture_output=True, cwd=folder, env=environment, check=False)
    assert done.stderr == b"", done.stderr.decode()
    return done.stdout.decode().splitlines()


def test_standard_input_is_a_file_or_a_list(folder: Path) -> None:
    photos = folder / "photos"
    assert piped((photos / "a.png").read_bytes(), photos) == ["image0.jpg (6, 8, 3)"]
    assert piped((photos / "clip.mkv").read_bytes(), photos) == ["stdin.mp4 (48, 64, 3)"] * 2
    lines = "# found\nb.png\n\na.png\n../lists/*.png\nnone.png\n"
    expected = [f"{name} (6, 8, 3)" for name in ("b.png", "a.png", "../lists/here.png")]
    assert piped(lines.encode(), photos) == [*expected, "none.png error"]
    assert piped(b"", photos) == ["Cannot read 'standard input': nothing was sent to it."]
    assert piped(b"\x00\x01\x02", photos) == ["Cannot read 'standard input': it is not a picture of any known format."]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_without_a_writer_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match="it is a pipe, not a file; send its content to standard input"):
        open_sources(tmp_path / "pipe.jpg")


ODD: dict[str, str | tuple[tuple[int, int], tuple[float, float, float]]] = {
    # name: (height, width), mean blue, green, red; or the words of the error
    "animated.gif": ((245, 245), (90.2, 136.6, 134.6)),
    "apng_16bit.png": ((64, 128), (0, 0, 255)),
    "bad_exif.jpg": ((500, 500), (125.5, 125.5, 125.5)),
    "broken.png": "it begins like a PNG picture, but is damaged",
    "bus_u16.png": ((1080, 810), (118.3, 115.6, 117.3)),
    "cmyk.jpg": ((100, 100), (7.4, 5.4, 30.2)),
    "exif_orientation3.jpg": ((128, 128), (95.3, 80.1, 89.7)),
    "exif_orientation6.webp": ((128, 128), (95.7, 80.2, 89.8)),
    "gray.jpg": ((128, 128), (84.7, 84.7, 84.7)),
    "gray_alpha.png": ((64, 128), (127.5, 127.5, 127.5)),
    "hopper.avif": ((128, 128), (95.6, 79.8, 89.8)),
    "hopper.bmp": ((128, 128), (95.4, 80.1, 89.7)),
    "hopper.tif": ((128, 128), (95.4, 80.1, 89.7)),
    "multipage.tiff": ((10, 10), (0, 128, 0)),
    "no_extension": ((1080, 810), (118.5, 115.5, 117.5)),
    "one_pixel.png": ((1, 1), (118, 113, 114)),
    "palette_trns.png": ((64, 64), (119.3, 176.3, 73.4)),
    "png_named.jpg": ((1080, 810), (118.3, 115.6, 117.3)),
    "rgba.png": ((150, 200), (26.4, 25.7, 33.4)),
    "strip_9x1600.png": ((1600, 9), (118.4, 115.8, 117.5)),
    "text_named.jpg": "it is a text file, not a picture",
    "truncated.png": "the picture is cut off: the file is incomplete",
    "truncated_half.jpg": "the picture is cut off: the file is incomplete",
    "truncated_pillow.jpg": "the picture is cut off: the file is incomplete",
    "u16_cropped.tif": ((64, 64), (1, 1, 1)),  # as dark as 291 to 694 of 65535 are
    "zero.jpg": "the file is empty",
}
SAME = {  # one scene, stored in many ways
    "hopper.bmp": ("exif_orientation3.jpg", "exif_orientation6.webp", "gray.jpg", "hopper.avif", "hopper.tif"),
    "png_named.jpg": ("bus_u16.png", "no_extension"),
}


def test_a_folder_of_everything_that_a_picture_file_can_be(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sources = open_sources(data / "odd")
    items = {Path(item.path).name: item for item in sources}
    assert list(items) == sorted(ODD)
    assert sources.known_length == len(ODD)
    for name, expected in ODD.items():
        picture, error = items[name].picture, items[name].error
        if isinstance(expected, str):
            assert picture is None
            assert str(error) == f"Cannot read '{data / 'odd' / name}': {expected}."
            continue
        assert error is None
        assert picture is not None
        assert (picture.shape, picture.dtype) == ((*expected[0], 3), np.uint8)
        assert picture.mean((0, 1)) == pytest.approx(expected[1], abs=1.5), name
    for name, others in SAME.items():
        for other in others:
            one, two = (np.mean(items[each].picture, axis=2).ravel() for each in (name, other))  # type: ignore[arg-type]
            assert np.corrcoef(one, two)[0, 1] > 0.99, f"{other} is {name}, the same side up"
    assert capfd.readouterr() == ("", ""), "no chatter of the libraries"
