"""Everything a user passes as `source`: files, folders, patterns, lists, arrays, Pillow images, tensors."""

from __future__ import annotations

import dataclasses
import errno
import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture
from segkit.core.images.items import Content, Entry, Item
from segkit.core.images.sources import Sources, open_sources

GREY = np.full((6, 8, 3), 90, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them broken, and other things."""
    for number, name in enumerate(["b.png", "a.jpg", "sub/deep.PNG"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8 + number, 6)).save(tmp_path / name)
    (tmp_path / "c.jpeg").write_text("not a picture")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._a.jpg").write_bytes(b"resource fork")
    (tmp_path / "d.jpg").mkdir()
    return tmp_path


def names(items: Sources | list[Item]) -> list[str]:
    return [Path(item.path).name for item in items]


def test_a_file_is_one_picture(folder: Path) -> None:
    for source in (str(folder / "b.png"), folder / "b.png"):
        sources = open_sources(source)
        (item,) = sources
        assert len(sources) == 1
        assert item.path == str(folder / "b.png")
        assert item.picture is not None
        assert item.picture.shape == (6, 8, 3)


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert names(open_sources("~/b.png")) == ["b.png"]


def test_a_folder_gives_its_pictures_sorted_and_without_subfolders(folder: Path) -> None:
    sources = open_sources(folder)
    assert len(sources) == 3
    assert names(sources) == ["a.jpg", "b.png", "c.jpeg"]


def test_a_pattern_reaches_into_subfolders(folder: Path) -> None:
    assert names(open_sources(str(folder / "**" / "*.[pP]*"))) == ["b.png", "deep.PNG"]
    assert names(open_sources(str(folder / "?.*"))) == ["a.jpg", "b.png", "c.jpeg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "b.png").rename(folder / "b[1].png")
    assert names(open_sources(str(folder / "b[1].png"))) == ["b[1].png"]


def test_an_unreadable_item_among_many_is_reported_and_the_rest_goes_on(folder: Path) -> None:
    items = list(open_sources(folder))
    assert [item.error is None for item in items] == [True, True, False]
    assert [item.index for item in items] == [0, 1, 2]
    assert "text file" in str(items[2].error)
    assert items[2].picture is None


def test_a_single_unreadable_source_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="text file"):
        list(open_sources(folder / "c.jpeg"))


def test_a_list_mixes_kinds_and_names_what_has_no_name(folder: Path) -> None:
    items = list(open_sources([folder / "a.jpg", GREY, Image.new("L", (4, 5)), str(folder), (GREY, GREY)]))
    assert names(items) == ["a.jpg", "image1.jpg", "image2.jpg", "a.jpg", "b.png", "c.jpeg", "image6.jpg", "image7.jpg"]
    assert [item.index for item in items] == list(range(8))


def test_a_missing_part_of_a_list_is_one_unreadable_item(folder: Path) -> None:
    items = list(open_sources([str(folder / "a.jpg"), str(folder / "nothing.jpg")]))
    assert [item.error is None for item in items] == [True, False]
    assert items[1].path == str(folder / "nothing.jpg")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "the source is empty"),
        ("  ", "the source is empty"),
        ("ftp://example.org/bus.jpg", "only http, https, rtsp"),
        ("nothing*.jpg", "nothing matches this pattern"),
        ("~nobody-here/a.jpg", "does not exist"),
        (0.5, "float is not a source. Give a picture or video file, its http"),
        (True, "bool is not a source"),
        (-1, "the first camera has the number 0"),
        (None, "NoneType is not a source"),
        ({"a": 1}, "dict is not a source"),
        ([], "the list is empty"),
        (Image.new("RGB", (0, 4)), "Pillow image RGB 0x4': it has no pixels"),
        ([1.5, 2.5], "float is not a source"),
        (["nothing1.jpg", "nothing2.jpg"], "no such file"),
        (b"", "empty"),
        (b"hello", "text file"),
    ],
)
def test_what_is_no_source_is_refused_with_what_is_accepted(source: object, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        list(open_sources(source))


def test_a_folder_or_pattern_without_pictures_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="the folder holds no pictures or videos"):
        open_sources(folder / "d.jpg")
    with pytest.raises(SourceError, match="none of the 1 names that match is a picture or video"):
        open_sources(str(folder / "*.txt"))


def test_a_missing_source_names_the_nearest(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"did you mean 'notes.txt'\?"):
        open_sources(folder / "note.txt")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY),
        (np.dstack([GREY, GREY[..., :1]]), GREY),
        (GREY[..., 0], GREY),
        (GREY[..., :1], GREY),
        (GREY[::-1, ::2], GREY[:, ::2]),
    ],
)
def test_an_array_is_a_bgr_or_grey_picture(array: np.ndarray, expected: Picture) -> None:
    (item,) = open_sources(array)
    assert item.path == "image0.jpg"
    assert item.picture is not None
    assert np.array_equal(item.picture, expected)
    assert item.picture.flags.c_contiguous


def test_an_array_picture_is_not_copied() -> None:
    (item,) = open_sources(GREY)
    assert item.picture is not None
    assert np.shares_memory(item.picture, GREY)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (GREY.astype(np.float32), "float32': its numbers must be uint8"),
        (GREY > 0, "bool': its numbers must be uint8"),
        (GREY.transpose(2, 0, 1), "transpose it"),
        (GREY[None], "give a batch as a list"),
        (GREY[..., :2], r"its shape must be \(height, width, 3\)"),
        (GREY[:0], "it has no pixels"),
        (np.zeros(5, np.uint8), "its shape must be"),
    ],
)
def test_a_wrong_array_is_refused_with_what_is_wanted(array: np.ndarray, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_sources(array)


def test_a_pillow_image_is_rgb_turned_upright_and_keeps_its_name(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 4), (255, 0, 0)).save(tmp_path / "red.png", exif=exif)
    (item,) = open_sources(Image.open(tmp_path / "red.png"))
    assert item.path == str(tmp_path / "red.png")
    assert item.picture is not None
    assert item.picture.shape == (10, 4, 3)
    assert item.picture[0, 0].tolist() == [0, 0, 255]


def test_a_damaged_pillow_image_is_a_source_error(data: Path) -> None:
    with (
        Image.open(data / "odd" / "truncated.png") as image,
        pytest.raises(SourceError, match=r"truncated.png.*cut off"),
    ):
        list(open_sources(image))


def test_a_tensor_batch_is_network_input_as_it_is() -> None:
    torch = pytest.importorskip("torch")
    batch = torch.rand(2, 3, 32, 64, requires_grad=True)
    items = list(open_sources(batch))
    assert names(items) == ["image0.jpg", "image1.jpg"]
    for item, planes in zip(items, batch.detach().numpy(), strict=True):
        assert item.tensor is not None
        assert item.picture is not None
        assert np.array_equal(item.tensor, planes)
        assert np.array_equal(item.picture, np.rint(planes * 255).astype(np.uint8)[::-1].transpose(1, 2, 0))
    assert len(open_sources(batch[0])) == 1
    (half,) = open_sources(batch[0].half())
    assert half.tensor is not None
    assert half.tensor.dtype == np.float32


def test_a_wrong_tensor_is_refused() -> None:
    torch = pytest.importorskip("torch")
    for tensor, words in [
        (torch.zeros(3, 32, 32, dtype=torch.uint8), "must be floats"),
        (torch.zeros(32, 32, 3), r"its shape must be \(3, height, width\)"),
        (torch.zeros(0, 3, 32, 32), "its shape must be"),
        (torch.full((3, 32, 32), 255.0), "between 0 and 1, but go from 255 to 255"),
        (torch.full((3, 32, 32), float("nan")), "between 0 and 1"),
    ]:
        with pytest.raises(SourceError, match=words):
            open_sources(tensor)


def test_sources_do_not_import_torch() -> None:
    code = (
        "import sys, numpy as np; from segkit.core.images.sources import open_sources;"
        "list(open_sources([np.zeros((4, 4, 3), np.uint8)])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The folder at an address of this machine."""
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_an_address_is_a_picture_named_after_its_file(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    (item,) = open_sources(f"{server}/b.png?size=large")
    assert item.path == "b.png"
    assert item.picture is not None
    assert item.picture.shape == (6, 8, 3)
    with pytest.raises(SourceError, match=r"http.*c.jpeg': it is a text file"):
        list(open_sources(f"{server}/c.jpeg"))
    with pytest.raises(SourceError, match="the server answered 404"):
        list(open_sources(f"{server}/nothing.jpg"))
    items = list(open_sources([f"{server}/nothing.jpg", f"{server}/a.jpg"]))
    assert [item.error is None for item in items] == [False, True]
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    with pytest.raises(SourceError, match="SEGKIT_OFFLINE forbids the network"):
        list(open_sources(f"{server}/b.png"))


def counting(count: int, started: list[int], gate: threading.Event | None = None) -> list[Entry]:
    def read(number: int) -> Content:
        started.append(number)
        if gate is not None and number:
            assert gate.wait(10)
        return Content(GREY)

    return [Entry.of(functools.partial(read, number)) for number in range(count)]


def test_pictures_are_read_lazily_and_only_so_many_ahead() -> None:
    started: list[int] = []
    items = iter(Sources(counting(100, started), ahead=2))
    for _ in range(3):
        next(items)
    assert len(started) <= 5, "two ahead of the three handed out"
    items.close()  # type: ignore[attr-defined]
    assert len(started) <= 5, "nothing is read once nobody asks"


def test_the_next_picture_is_read_while_the_current_one_is_worked_on() -> None:
    started: list[int] = []
    gate = threading.Event()
    items = iter(Sources(counting(3, started, gate)))
    assert next(items).index == 0, "handed out although the next one is still being read"
    gate.set()
    assert [item.index for item in items] == [1, 2]


def test_a_source_of_unknown_length_can_be_walked() -> None:
    entries = counting(3, [])
    sources = Sources([*entries[:2], dataclasses.replace(entries[2], length=lambda: None)])
    assert sources.known_length is None
    with pytest.raises(TypeError, match="not known"):
        len(sources)
    assert [item.path for item in sources] == ["image0.jpg", "image1.jpg", "image2.jpg"]


def test_an_unforeseen_failure_of_a_reader_is_not_swallowed() -> None:
    def broken() -> Content:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(Sources([Entry.of(broken), Entry.of(broken)]))


def test_a_file_that_may_not_be_read_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)  # root may read anything, so it cannot be shown with a mode
    with pytest.raises(SourceError, match=r"a.jpg': permission denied\.$"):
        list(open_sources(folder / "a.jpg"))


def test_a_device_is_refused_before_it_is_read_for_ever() -> None:
    with pytest.raises(SourceError, match="it is a device, not a picture file"):
        open_sources(os.devnull)


def test_a_link_to_nowhere_says_so_and_does_not_suggest_itself(tmp_path: Path) -> None:
    (tmp_path / "bus.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(SourceError, match=r"it is a link to a file that does not exist\.$"):
        open_sources(tmp_path / "bus.jpg")


def test_a_path_that_cannot_be_looked_at_is_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="file name too long"):
        open_sources("x" * 300 + ".jpg")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SourceError, match="too many levels of symbolic links"):
        open_sources(tmp_path / "a")

    def locked(path: Path, **how: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", locked)
    with pytest.raises(SourceError, match="permission denied"):
        open_sources("locked/bus.jpg")


def test_a_malformed_address_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="Invalid IPv6 URL"):
        list(open_sources("http://[bad"))


def test_a_server_that_speaks_no_http_is_an_unreadable_source() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"gopher\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SourceError, match=r"no answer \(gopher"):
            next(iter(open_sources(f"http://127.0.0.1:{server.getsockname()[1]}/bus.jpg")))
        thread.join()
