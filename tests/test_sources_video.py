"""Videos as a source: which frames come, what is told of them, what a damaged one says, and what it costs."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import SIZE, film, number_in

from segkit import YOLO
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import addresses
from segkit.core.images.items import Item
from segkit.core.images.sources import open_sources


def numbers(items: Iterator[Item] | list[Item]) -> list[int]:
    return [number_in(item.picture) for item in items]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.mp4", "mp4v"), ("a.mov", "mp4v"), ("a.m4v", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "FFV1")),
        *(("a.webm", "VP80"), ("a.wmv", "WMV2"), ("a.flv", "FLV1"), ("a.ts", "mp4v")),
    ],
)
def test_every_common_kind_of_video_gives_its_frames_in_order(tmp_path: Path, name: str, codec: str) -> None:
    sources = open_sources(film(tmp_path / name, 12, codec=codec))
    items = list(sources)
    assert numbers(items) == list(range(1, 13))
    assert sources.known_length == 12
    assert not sources.live
    assert [item.index for item in items] == list(range(12))
    assert {item.path for item in items} == {str(tmp_path / name)}
    for number, item in enumerate(items, 1):
        assert item.frame is not None
        assert (item.frame.number, item.frame.count, item.frame.live) == (number, 12, False)
        assert item.frame.rate == pytest.approx(10)


@pytest.mark.parametrize(("stride", "expected"), [(1, 12), (2, 6), (5, 3), (11, 2), (12, 1), (100, 1)])
def test_a_stride_uses_the_first_of_every_so_many_frames(tmp_path: Path, stride: int, expected: int) -> None:
    sources = open_sources(film(tmp_path / "a.mp4", 12), vid_stride=stride)
    items = list(sources)
    assert sources.known_length == len(items) == expected
    assert numbers(items) == list(range(1, 13, stride))
    assert [item.frame and item.frame.number for item in items] == list(range(1, 13, stride))


def test_a_stride_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="vid_stride=0"):
        open_sources(film(tmp_path / "a.mp4", 2), vid_stride=0)


def test_frames_are_read_ahead_in_order_and_are_the_callers_own(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 20)
    for ahead in (0, 1, 4, 50):
        items = list(open_sources(path, ahead=ahead))
        assert numbers(items) == list(range(1, 21))
        items[0].picture[...] = 0  # type: ignore[index]
        assert number_in(items[1].picture) == 2


def test_the_content_decides_where_the_suffix_is_wrong_or_missing(tmp_path: Path, bus: Path) -> None:
    clip = film(tmp_path / "a.mp4", 3).read_bytes()
    for name in ("clip", "clip.jpg", "clip.bin", "clip.txt"):
        (tmp_path / name).write_bytes(clip)
        assert numbers(list(open_sources(tmp_path / name))) == [1, 2, 3]
    (tmp_path / "still.mp4").write_bytes(bus.read_bytes())
    (item,) = open_sources(tmp_path / "still.mp4")
    assert item.frame is None
    assert item.picture is not None
    assert item.picture.shape == (1080, 810, 3)


def test_folders_and_patterns_take_videos_among_the_pictures(tmp_path: Path) -> None:
    film(tmp_path / "b.mp4", 3)
    (tmp_path / "film").write_bytes(film(tmp_path / "c.avi", 2, codec="MJPG").read_bytes())
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "README").write_text("about these films")
    sources = open_sources(tmp_path)
    names = [Path(item.path).name for item in sources]
    assert names == ["a.png", "b.mp4", "b.mp4", "b.mp4", "c.avi", "c.avi", "film", "film"]
    assert sources.known_length == 8
    assert [Path(item.path).name for item in open_sources(str(tmp_path / "*.mp4"))] == ["b.mp4"] * 3


def test_a_video_filmed_with_the_camera_turned_comes_out_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24] = (0, 0, 255)  # red above, before it is turned by 90° clockwise: red on the right
    writer.write(stored)
    writer.release()
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44  # of the track header's first version (ISO 14496-12)
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in quarter)
    path.write_bytes(content)
    (item,) = open_sources(path)
    assert item.picture is not None
    assert item.picture.shape == (64, 48, 3)
    assert item.picture[32, 40, 2] > 200
    assert item.picture[32, 8, 2] < 50


def test_grey_frames_of_16_bits_come_out_as_bgr_bytes(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "grey.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "gray16le"
        for level in (1, 2, 3):
            pixels = np.full(SIZE, (20 + level * 5) * 256, np.uint16)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray16le")))
        container.mux(stream.encode())
    assert numbers(list(open_sources(tmp_path / "grey.mkv"))) == [1, 2, 3]


def test_bytes_of_a_video_are_a_video(tmp_path: Path) -> None:
    clip = film(tmp_path / "a.mp4", 3).read_bytes()
    items = list(open_sources([clip, np.zeros((4, 4, 3), np.uint8), memoryview(clip)]))
    assert [item.path for item in items] == ["video0.mp4"] * 3 + ["image3.jpg"] + ["video4.mp4"] * 3


def cut(path: Path, share: float) -> Path:
    """The first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_a_video_that_breaks_off_gives_its_frames_and_then_says_so(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes((data / "video" / "person.mp4").read_bytes())
    *frames, last = open_sources(cut(path, 0.25), vid_stride=50)
    assert len(frames) > 3
    assert all(item.picture is not None for item in frames)
    assert last.picture is None
    assert str(last.error).startswith(f"Cannot read '{path}': the video breaks off after ")
    assert "of about 1394 frames" in str(last.error)
    assert last.index == len(frames)


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "FFV1"), ("a.flv", "FLV1")])
def test_a_cut_container_without_an_index_gives_what_is_there(tmp_path: Path, name: str, codec: str) -> None:
    items = list(open_sources(cut(film(tmp_path / name, 40, codec=codec), 0.5)))
    pictures = [item for item in items if item.error is None]
    assert 5 <= len(pictures) < 35
    assert numbers(pictures) == list(range(1, len(pictures) + 1))


def without_frames(path: Path) -> None:
    film(path, 2)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"stsz" + content[content.index(b"stsz") + 4 :][:12], b"stsz" + bytes(12)))


DAMAGED = {
    "empty.mp4": (lambda path: path.touch(), "the file is empty"),
    "text.mp4": (lambda path: path.write_text("hello"), "it is a text file, not a video"),
    "playlist.mp4": (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\na.ts\n"), "it is a text file, not a video"),
    "noise.mp4": (lambda path: path.write_bytes(bytes(range(1, 256)) * 40), "it is not a video of any known format"),
    "unfinished.mp4": (lambda path: cut(film(path, 9), 0.6), "no video in it that can be decoded here"),
    "sound.m4v": (lambda path: path.write_bytes(b"\0\0\0\x18ftypM4A " + bytes(200)), "no video in it that can be"),
    "header.avi": (lambda path: path.write_bytes(b"RIFF\0\0\0\0AVI LIST"), "no video in it that can be decoded"),
    "nothing.mp4": (without_frames, "can be decoded"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_video_is_one_clear_line(tmp_path: Path, name: str) -> None:
    make, words = DAMAGED[name]
    make(tmp_path / name)
    assert open_sources(tmp_path / name).known_length is not None
    with pytest.raises(SourceError, match=words) as caught:
        list(open_sources(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    film(tmp_path / "good.mkv", 2, codec="FFV1")
    items = list(open_sources([tmp_path / name, tmp_path / "good.mkv"]))
    assert [item.error is None for item in items] == [False, True, True]


COUNT = """
import sys
from segkit.core.images.sources import open_sources
print(sum(item.error is not None for item in open_sources(sys.argv[1])))
"""


def test_damaged_videos_are_counted_without_a_word_of_ffmpeg(tmp_path: Path, data: Path) -> None:
    for name, (make, _) in DAMAGED.items():
        make(tmp_path / name)
    (tmp_path / "cut.mp4").write_bytes((data / "video" / "person.mp4").read_bytes()[: 1 << 19])
    (tmp_path / "good.mkv").unlink(missing_ok=True)
    # Another process: ffmpeg's level is set once in each, and the videos above were written by this one.
    done = subprocess.run([sys.executable, "-c", COUNT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{len(DAMAGED) + 1}\n", "")


def test_an_unknown_codec_is_one_clear_line(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", 5, codec="MJPG")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"zzzz"))
    with pytest.raises(SourceError, match=r"a.avi': .*codec"):
        list(open_sources(path))


@pytest.mark.parametrize("told", [0, 1, 7, 13, 10_000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wrong_frame_count_neither_crashes_nor_hangs(tmp_path: Path, told: int) -> None:
    path = film(tmp_path / "a.avi", 12, codec="MJPG")
    content = bytearray(path.read_bytes())
    for name, offset in ((b"avih", 24), (b"strh", 40)):  # total frames, length of the stream
        at = content.index(name) + offset
        content[at : at + 4] = told.to_bytes(4, "little")
    path.write_bytes(content)
    sources = open_sources(path)
    items = [item for item in sources if item.error is None]
    assert numbers(items) == list(range(1, 13))


def test_a_video_is_closed_when_nobody_reads_on(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see which files are open")
    path = film(tmp_path / "a.mp4", 30)

    def is_open() -> bool:
        found = []
        for link in Path("/proc/self/fd").iterdir():
            try:
                found.append(link.readlink())
            except OSError:
                continue
        return path in found

    items = iter(open_sources(path))
    next(items)
    assert is_open()
    items.close()  # type: ignore[attr-defined]
    assert not is_open()
    assert not any(thread.name.startswith("segkit-reader") for thread in threading.enumerate())


def test_opencv_speaks_again_once_the_video_is_closed(tmp_path: Path) -> None:
    level = getattr(cv2.utils, "logging", cv2).getLogLevel  # has moved between versions of OpenCV
    before = level()
    items = iter(open_sources([film(tmp_path / "a.mp4", 3), film(tmp_path / "b.mp4", 3)]))
    next(items)
    assert level() == 0
    items.close()  # type: ignore[attr-defined]
    assert level() == before
    assert "OPENCV_FFMPEG_LOGLEVEL" not in os.environ


MEMORY = """
import sys, psutil
from segkit.core.images.sources import open_sources
process, most = psutil.Process(), {}
for count, item in enumerate(open_sources(sys.argv[1], ahead=4), 1):
    if count % 10 == 0:
        half = "first" if count <= 100 else "rest"
        most[half] = max(most.get(half, 0), process.memory_info().rss)
print(count, most["rest"] - most["first"])
"""


def test_a_long_video_takes_the_memory_of_a_few_frames(tmp_path: Path) -> None:
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25, (1280, 720))
    picture = np.zeros((720, 1280, 3), np.uint8)
    for _ in range(600):
        writer.write(picture)
    writer.release()
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, growth = map(int, done.stdout.split())
    assert count == 600
    assert growth < 16 << 20, "600 frames are 1.6 GB, and a frame is 2.7 MB"


def test_predicting_a_video_tells_where_each_result_stands(tmp_path: Path, data: Path) -> None:
    model = YOLO(data / "foreign" / "yolov8n-seg.onnx")
    results = model.predict(data / "video" / "person.mp4", vid_stride=600, conf=0.3)
    assert [result.frame and result.frame.number for result in results] == [1, 601, 1201]
    assert {result.path for result in results} == {str(data / "video" / "person.mp4")}
    assert {result.orig_img.shape for result in results} == {(432, 768, 3)}
    assert [result.names[int(result.boxes.cls[0])] for result in results if len(result.boxes)].count("person") >= 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """`tmp_path` at an address of this machine, from a server that gives whole files only."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_an_address_of_a_video_is_that_video(
    tmp_path: Path, server: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    clip = film(tmp_path / "clip.mp4", 5).read_bytes()
    for name in ("plain", "clip.jpg", "clip.ts"):
        (tmp_path / name).write_bytes(clip)
    for name in ("clip.mp4?size=large", "plain", "clip.jpg", "clip.ts"):
        items = list(open_sources(f"{server}/{name}", vid_stride=2))
        assert numbers(items) == [1, 3, 5]
        assert {item.path for item in items} == {name.partition("?")[0]}
    items_left = iter(open_sources(f"{server}/clip.mp4"))
    next(items_left)
    assert list(temporary.iterdir())
    items_left.close()  # type: ignore[attr-defined]
    assert not list(temporary.iterdir()), "a temporary file stays no longer than it is read"
    for name in ("none.mp4", "none"):
        with pytest.raises(SourceError, match="404"):
            list(open_sources(f"{server}/{name}"))
    monkeypatch.setattr(addresses, "VIDEO_LIMIT", 1000)
    with pytest.raises(SourceError, match="it holds more than"):
        list(open_sources(f"{server}/clip.mp4"))
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    for name in ("clip.mp4", "plain", "clip.m3u8"):
        with pytest.raises(SourceError, match="SEGKIT_OFFLINE forbids the network"):
            list(open_sources(f"{server}/{name}"))
    assert not list(temporary.iterdir())


def test_a_recorded_hls_stream_ends_where_its_playlist_does(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    film(tmp_path / "part.ts", 20)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\npart.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "film.m3u8").write_text(playlist)
    sources = open_sources(f"{server}/film.m3u8", stream_buffer=True)
    assert sources.live
    items = list(sources)
    assert numbers(items) == list(range(1, 21))
    assert items[0].path == f"{server}/film.m3u8"


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_a_video_whose_name_is_no_text_is_refused_before_it_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"v\xff.mp4")
    film(tmp_path / "a.mp4", 2).rename(path)
    with pytest.raises(SourceError, match="names in UTF-8 only; rename the file"):
        list(open_sources(path))
