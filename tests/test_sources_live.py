"""Live sources: real streams of this machine that end, stall, come back and are several; cameras and screens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import STALL, Cameras, Sender, film, number_in
from hypothesis import given
from hypothesis import strategies as st

from segkit.cli import main
from segkit.core.errors import MissingDependencyError, SourceError
from segkit.core.http import masked
from segkit.core.images import capture, live
from segkit.core.images.items import Item
from segkit.core.images.sources import open_sources


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setattr(live, "PAUSE", 0.01)
    monkeypatch.setattr(capture, "READ_TIMEOUT", 1.0)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("segkit-stream")] == []


def frames(item: Item) -> int:
    """The number that `frame` tells, checked against the one that the picture shows."""
    assert item.frame is not None
    assert item.frame.live
    assert item.frame.count is None
    assert item.frame.number == number_in(item.picture)
    return item.frame.number


def until_lost(source: object, **options: Any) -> tuple[list[Item], str]:
    """All frames of a stream, and the error at its end."""
    sources = open_sources(source, stream_buffer=True, **options)
    assert sources.live
    assert sources.known_length is None
    items = []
    try:
        for item in sources:
            items.append(item)
    except SourceError as error:
        return items, str(error)
    return pytest.fail("a stream that is lost is an error")


def test_a_stream_gives_its_frames_and_says_when_it_is_lost_for_good(capsys: pytest.CaptureFixture[str]) -> None:
    with Cameras({"cam": [10]}) as cameras:
        items, error = until_lost(f"{cameras.address}/cam.mjpg")
    assert [frames(item) for item in items] == list(range(1, 11))
    lost = "the stream was lost after 10 frames, and 5 attempts to reach it again failed"
    assert error == f"Cannot read '{cameras.address}/cam.mjpg': {lost}."
    said = f"{cameras.address}/cam.mjpg: lost after 10 frames, trying to reach it again\n"
    assert capsys.readouterr() == ("", said)


def test_an_address_without_a_suffix_is_a_stream_if_the_server_says_so() -> None:
    with Cameras({"cam": [0, 10]}) as cameras:  # the first connection asks what it is
        items, _ = until_lost(f"{cameras.address}/cam")
    assert [frames(item) for item in items] == list(range(1, 11))


def test_an_address_with_a_login_is_that_of_a_camera() -> None:
    with Cameras({"cam": [10]}) as cameras:
        address = cameras.address.replace("://", "://admin:s3cret@")
        items, error = until_lost(f"{address}/cam")
    assert [frames(item) for item in items] == list(range(1, 11))
    shown = cameras.address.replace("://", "://***@") + "/cam"
    assert {item.path for item in items} == {shown}
    assert error.startswith(f"Cannot read '{shown}': the stream was lost")


def test_a_stream_that_comes_back_goes_on_where_it_was() -> None:
    with Cameras({"cam": [6, 6, 6]}) as cameras:
        items, error = until_lost(f"{cameras.address}/cam.mjpg?user=a&password=b")
    assert "lost after 18 frames" in error
    assert [frames(item) for item in items] == list(range(1, 19))
    assert {item.path for item in items} == {f"{cameras.address}/cam.mjpg?user=a&password=***"}


def test_attempts_are_counted_anew_after_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RECONNECTS", 1)
    with Cameras({"cam": [4] * 5}) as cameras:
        _, error = until_lost(f"{cameras.address}/cam.mjpg")
    assert "lost after 20 frames, and 1 attempts" in error


def test_a_tcp_stream_is_reached_again(tmp_path: Path) -> None:
    content = film(tmp_path / "a.ts", 15).read_bytes()
    with Sender(content, callers=2) as sender:
        items, error = until_lost(sender.address)
    assert "lost after 30 frames" in error
    assert [item.frame and item.frame.number for item in items] == list(range(1, 31))
    assert [number_in(item.picture) for item in items] == [*range(1, 16), *range(1, 16)]


def test_a_slow_consumer_sees_the_newest_frame_unless_it_asks_for_all() -> None:
    for buffer in (False, True):
        with Cameras({"cam": [40, STALL]}, pause=0.005) as cameras:
            items = iter(open_sources(f"{cameras.address}/cam.mjpg", stream_buffer=buffer))
            got = [frames(next(items))]
            if not buffer:
                assert cameras.quiet.wait(30), "all are sent while this one is worked on"
            while got[-1] < 40:
                got.append(frames(next(items)))
            items.close()  # type: ignore[attr-defined]
        assert all(one < other for one, other in pairwise(got))
        assert (len(got) == 40) == buffer


def test_a_full_queue_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BUFFER", 3)
    with Cameras({"cam": [30, STALL]}, pause=0) as cameras:
        items = iter(open_sources(f"{cameras.address}/cam.mjpg", stream_buffer=True))
        got = [frames(next(items))]
        assert cameras.quiet.wait(30)
        got += [frames(next(items)) for _ in range(29)]
        items.close()  # type: ignore[attr-defined]
    assert got == list(range(1, 31))


def test_a_stride_counts_the_frames_that_it_leaves_out() -> None:
    with Cameras({"cam": [20]}) as cameras:
        items, _ = until_lost(f"{cameras.address}/cam.mjpg", vid_stride=4)
    assert [frames(item) for item in items] == [1, 5, 9, 13, 17]


def test_a_stalled_stream_is_lost_after_the_read_time_out() -> None:
    with Cameras({"cam": [5, STALL]}) as cameras:
        _, error = until_lost(f"{cameras.address}/cam.mjpg")
    assert "lost after 5 frames" in error


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("rtsp://admin:s3cret@127.0.0.1:1", "connection refused"),
        ("rtmp://admin:s3cret@127.0.0.1:1", "connection refused"),
        ("rtsp://admin:s3cret@127.0.0.1:port", "port"),
        ("rtsp://admin:s3/cret@127.0.0.1:1", "port"),
        ("tcp://127.0.0.1:1", "refused, no video in it, or no answer in 10 s"),
        ("http://admin:s3cret@127.0.0.1:1", "refused, no video in it, or no answer in 10 s"),
    ],
)
def test_a_stream_that_cannot_be_reached_is_an_error_at_once_without_its_password(start: str, words: str) -> None:
    with pytest.raises(SourceError, match=rf"/live.m3u8': the stream cannot be opened.*{words}") as caught:
        list(open_sources(f"{start}/live.m3u8"))
    text = str(caught.value) + repr(caught.value.source)
    assert "cret" not in text
    assert "admin" not in text


def test_several_streams_take_turns_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    with Cameras({"a": [12], "b": [5, 5]}, pause=0.03) as cameras:
        names = [f"{cameras.address}/{name}.mjpg" for name in ("a", "b", "gone")]
        (tmp_path / "all.streams").write_text("# my cameras\n\n" + "\n".join(names) + "\n")
        sources = open_sources(tmp_path / "all.streams", stream_buffer=True)
        assert sources.live
        got: dict[str, list[int]] = defaultdict(list)
        errors: dict[str, str] = {}
        for item in sources:
            if item.error is None:
                got[item.path].append(frames(item))
            else:
                errors[item.path] = str(item.error)
    assert got == {names[0]: list(range(1, 13)), names[1]: list(range(1, 11))}
    assert "lost after 12 frames" in errors[names[0]]
    assert "lost after 10 frames" in errors[names[1]]
    assert "cannot be opened" in errors[names[2]]


def test_a_stalled_stream_holds_no_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "READ_TIMEOUT", 8.0)
    with Cameras({"stalls": [20, STALL], "runs": [30]}) as cameras:
        items = iter(
            open_sources([f"{cameras.address}/stalls.mjpg", f"{cameras.address}/runs.mjpg"], stream_buffer=True)
        )
        got: list[int] = []
        while got[-1:] != [30]:
            item = next(items)
            if item.path.endswith("/runs.mjpg"):
                got.append(frames(item))
        assert got == list(range(1, 31))
        cameras.over.set()
        items.close()  # type: ignore[attr-defined]


def test_live_sources_of_a_list_come_together_after_all_else(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", 2, codec="FFV1")
    with Cameras({"a": [3], "b": [3]}) as cameras:
        addresses = [f"{cameras.address}/{name}.mjpg" for name in "ab"]
        items = list(open_sources([addresses[0], tmp_path / "a.mkv", addresses[1]], stream_buffer=True))
    assert [item.path for item in items[:2]] == [str(tmp_path / "a.mkv")] * 2
    assert sorted(item.path for item in items[2:]) == [addresses[0]] * 4 + [addresses[1]] * 4
    assert sum(item.error is not None for item in items) == 2


def test_videos_in_a_list_of_streams_take_exact_turns(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        film(tmp_path / f"{name}.mkv", count, codec="FFV1")
    (tmp_path / "all.streams").write_text("a.mkv\nb.mkv\nc.mkv\n")
    sources = open_sources(tmp_path / "all.streams")
    turns = [(Path(item.path).stem, number_in(item.picture)) for item in sources]
    assert turns == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]
    assert not sources.live
    assert sources.known_length == 6


INTERRUPTED = """
import sys
from segkit.core.images.sources import open_sources
try:
    for item in open_sources(sys.argv[1], stream_buffer=True):
        print(item.frame.number, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_ends_a_stalled_stream_with_its_thread_inside_ffmpeg() -> None:
    with Cameras({"cam": [3, STALL]}) as cameras:
        command = [sys.executable, "-c", INTERRUPTED, f"{cameras.address}/cam.mjpg"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while process.stdout.readline() != "3\n":
                assert process.poll() is None
            assert cameras.quiet.wait(30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


def test_no_live_source_is_opened_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    with Cameras({"cam": [5]}) as cameras:
        for address in (f"{cameras.address}/cam.mjpg", f"{cameras.address}/a.m3u8", "rtsp://127.0.0.1:1/a"):
            with pytest.raises(SourceError, match="SEGKIT_OFFLINE forbids the network"):
                list(open_sources(address))
        assert cameras.sent == {"cam": 0}


@pytest.mark.parametrize("source", [997, "997", np.int64(997)])
def test_an_absent_camera_is_one_clear_line(source: object, capfd: pytest.CaptureFixture[str]) -> None:
    sources = open_sources(source)
    assert sources.live
    with pytest.raises(SourceError, match=r"^Cannot read 'camera 997': it cannot be opened: "):
        list(sources)
    assert capfd.readouterr() == ("", ""), "no chatter of OpenCV"


def test_the_command_line_takes_the_number_of_a_camera(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = data / "foreign" / "yolov8n-seg.onnx"
    for arguments in (["predict", f"model={model}", "source=997"], ["predict", str(model), "997"]):
        assert main(arguments) == 2
        assert "Cannot read 'camera 997'" in capsys.readouterr().err


def test_a_file_whose_name_is_a_number_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4", 2).rename(tmp_path / "2024")
    monkeypatch.chdir(tmp_path)
    assert [item.path for item in open_sources("2024")] == ["2024", "2024"]


# -- the screen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["screen 1 2", "screen -1", "screen 1 0 0 10", "screen 0 0 0 1 1 1"])
def test_a_malformed_screen_says_how_it_is_written(source: str) -> None:
    with pytest.raises(SourceError, match="screen NUMBER LEFT TOP WIDTH HEIGHT"):
        open_sources(source)


def test_a_pattern_that_begins_with_screen_is_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "screen shots").mkdir()
    film(tmp_path / "screen shots" / "a.mp4", 2)
    assert len(list(open_sources("screen shots/*.mp4"))) == 2
    with pytest.raises(SourceError, match="no such file or folder"):
        open_sources("screen shot")


def test_a_folder_called_screen_is_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "screen").mkdir()
    film(tmp_path / "screen" / "a.mp4", 2)
    monkeypatch.chdir(tmp_path)
    assert len(list(open_sources("screen"))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_a_machine_without_a_screen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mss")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert open_sources("screen").live
    with pytest.raises(SourceError, match=r"^Cannot read 'screen 1': there is no screen here that can be read"):
        list(open_sources("screen  1"))


def test_the_screen_asks_for_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "segkit\[screen\]"'):
        list(open_sources("screen"))


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """The pixels of a real screen without a monitor, to be painted: (200, 320, 4) BGRX."""
    pytest.importorskip("mss")
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("needs Xvfb, a screen without a monitor")
    read, write = os.pipe()
    command = [server, "-displayfd", str(write), "-screen", "0", "320x200x24", "-fbdir", str(tmp_path)]
    # Without -noreset it begins anew, with an empty screen, whenever the last who looks at it goes.
    with subprocess.Popen(
        [*command, "-noreset", "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    ) as process:
        os.close(write)
        with os.fdopen(read) as pipe:
            monkeypatch.setenv("DISPLAY", f":{pipe.readline().strip()}")
        buffer = tmp_path / "Xvfb_screen0"
        offset = buffer.stat().st_size - 200 * 320 * 4
        yield np.memmap(buffer, np.uint8, "r+", offset=offset, shape=(200, 320, 4))
        process.terminate()


def test_the_screen_is_what_stands_on_it(screen: np.ndarray) -> None:
    screen[..., 0] = np.arange(320) % 256
    screen[..., 1] = np.arange(200)[:, None]
    for source, expected in [
        ("screen", screen),
        ("screen 1", screen),
        ("screen 1 10 20 100 50", screen[20:70, 10:110]),
    ]:
        items = iter(open_sources(source, ahead=4))
        for number in (1, 2, 3):
            screen[..., 2] = number
            item = next(items)
            assert item.path == source
            assert item.frame is not None
            assert (item.frame.number, item.frame.live) == (number, True)
            assert item.picture is not None
            assert np.array_equal(item.picture, expected[..., :3])
        items.close()  # type: ignore[attr-defined]
    for source, words in [
        ("screen 9", "numbered from 1"),
        ("screen 1 300 0 100 10", "not inside the screen of 320x200"),
    ]:
        with pytest.raises(SourceError, match=words):
            list(open_sources(source))


# -- addresses as they are shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rtsp://admin:1234@cam:554/live", "rtsp://***@cam:554/live"),
        ("rtsp://admin@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:p/a@cam/live", "rtsp://***@cam/live"),
        ("rtsp://cam:554/live/@user", "rtsp://cam:554/live/@user"),
        ("https://host/@user/a.jpg?size=2", "https://host/@user/a.jpg?size=2"),
        ("http://cam/a?user=me&password=x&n=1", "http://cam/a?user=me&password=***&n=1"),
        (
            "https://host/a.mp4?X-Amz-Signature=ab&access_token=cd",
            "https://host/a.mp4?X-Amz-Signature=***&access_token=***",
        ),
        ("https://blob/a.onnx?sv=2024&design=x&sig=ab%3D", "https://blob/a.onnx?sv=2024&design=x&sig=***"),
        ("rtsp://cam/user=admin_password=ab_channel=1", "rtsp://cam/user=admin_password=***"),
        ("photos/a@b=c.jpg", "photos/a@b=c.jpg"),
    ],
)
def test_an_address_is_shown_without_its_secrets(given: str, shown: str) -> None:
    assert masked(given) == shown
    assert masked(shown) == shown


WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#@:\\'\""), min_size=4)


@given(WORD, WORD, st.sampled_from(["rtsp", "http", "https", "rtmp"]))
def test_no_password_is_ever_shown(user: str, password: str, scheme: str) -> None:
    host = "camera.example"
    shown = masked(f"{scheme}://{user}:{password}@{host}:554/live")
    assert shown == f"{scheme}://***@{host}:554/live"
