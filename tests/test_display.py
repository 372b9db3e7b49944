"""show=True: in a notebook, in a window, in the system's viewer, or a clear error before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.core.errors import OptionError
from segkit.core.images.items import Frame
from segkit.core.inference import display
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.output import Outputs
from segkit.core.inference.results import Results

PICTURE = np.full((48, 64, 3), (10, 200, 30), np.uint8)


def result(path: str = "street/bus.jpg", frame: Frame | None = None) -> Results:
    return Results(PICTURE.copy(), path, {0: "bus"}, np.array([[8, 8, 40, 40, 0.9, 0]], np.float32), frame=frame)


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server: no screen, and no notebook."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")


@pytest.fixture
def viewer(headless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A desktop without windows of OpenCV; gives the file in which its viewer notes what it was asked to open."""
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path / "opened"


def opened(note: Path, count: int) -> list[Path]:
    """What the viewer was asked to open, once it has started."""
    for _ in range(500):
        paths = [Path(line) for line in note.read_text().splitlines()] if note.exists() else []
        if len(paths) >= count:
            return paths
        time.sleep(0.02)
    raise AssertionError(f"the viewer was started for {paths}")


class TestWithoutAScreen:
    def test_predict_refuses_before_any_work(
        self, headless: None, n_seg_pt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("torch")
        from segkit import YOLO

        monkeypatch.chdir(tmp_path)
        with pytest.raises(OptionError, match=r"nowhere to show pictures.*Give save=True instead"):
            YOLO(n_seg_pt).predict("no-such-picture.jpg", show=True, save=True, stream=True)
        assert list(tmp_path.iterdir()) == []

    def test_a_result_refuses_too(self, headless: None) -> None:
        with pytest.raises(OptionError, match="Give save=True instead"):
            result().show()

    def test_a_viewer_without_a_screen_is_none(self, viewer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WAYLAND_DISPLAY")
        with pytest.raises(OptionError):
            display.open_display()

    def test_asking_whether_there_is_a_window_says_nothing(self) -> None:
        code = "from segkit.core.inference import display; print(display._has_windows())"
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.stdout, done.stderr) == ("False\n", "")


class TestTheViewer:
    def test_it_gets_every_picture_as_a_file(self, viewer: Path) -> None:
        with Outputs(PredictArguments(show=True)) as outputs:
            assert outputs.take(result("a/one.jpg"))
            assert outputs.take(result("b/one.jpg"))
            outputs.finish()
        paths = opened(viewer, 2)
        assert sorted(path.name for path in paths) == ["1-one.png", "2-one.png"]
        for path in paths:
            assert np.array_equal(cv2.imread(str(path)), result().plot())

    def test_a_video_is_refused_with_the_ways_out(self, viewer: Path) -> None:
        outputs = Outputs(PredictArguments(show=True))
        with pytest.raises(OptionError, match=r"needs a notebook, or a window.*Give save=True instead"):
            outputs.take(result("clip.mp4", Frame(1)))

    def test_a_result_opens_it_with_the_arguments_of_plot(self, viewer: Path) -> None:
        result().show(boxes=False, pil=True)
        (path,) = opened(viewer, 1)
        assert np.array_equal(cv2.imread(str(path)), result().plot(boxes=False))


NOTEBOOK = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.displaypub import DisplayPublisher

class Published(DisplayPublisher):
    events = []
    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        import base64, cv2, numpy
        image = cv2.imdecode(numpy.frombuffer(base64.b64decode(data["image/jpeg"]), "uint8"), 1)
        self.events.append([list(image.shape), bool(update), (transient or {}).get("display_id")])

shell = InteractiveShell.instance(display_pub_class=Published)
shell.kernel = object()  # what a terminal's shell lacks
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Any]:
    """Runs code in the shell of a notebook, without a screen; gives what was published: shape, update, id."""
    pytest.importorskip("IPython")

    def run(code: str, shell: str = NOTEBOOK) -> Any:
        script = (
            f"{shell}\nimport sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"from test_display import *\n{code}\nprint(json.dumps(Published.events))"
        )
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment["IPYTHONDIR"] = str(tmp_path)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


class TestInANotebook:
    def test_pictures_stand_below_each_other(self, notebook: Any) -> None:
        events = notebook(
            "with Outputs(PredictArguments(show=True)) as outputs:\n"
            "    for name in 'ab': outputs.take(result(name + '.jpg'))\n"
            "result().show()"
        )
        assert events == [[[48, 64, 3], False, None]] * 3

    def test_frames_of_a_video_take_each_others_place(self, notebook: Any) -> None:
        events = notebook(
            "display.INTERVAL = 0\n"
            "with Outputs(PredictArguments(show=True)) as outputs:\n"
            "    for number in (1, 2, 3):\n"
            "        for path in ('one.mp4', 'two.mp4'): outputs.take(result(path, Frame(number)))"
        )
        shapes, updates, ids = zip(*events, strict=True)
        assert set(map(tuple, shapes)) == {(48, 64, 3)}
        assert updates == (False, False, True, True, True, True)
        assert ids[0::2] == (ids[0],) * 3
        assert ids[1::2] == (ids[1],) * 3
        assert ids[0] != ids[1]

    def test_what_comes_faster_than_a_notebook_can_draw_is_left_out(self, notebook: Any) -> None:
        events = notebook(
            "display.INTERVAL = 1e9\n"
            "with Outputs(PredictArguments(show=True)) as outputs:\n"
            "    for number in range(1, 50): outputs.take(result('one.mp4', Frame(number)))\n"
            "    assert len(Published.events) == 1\n"
            "    outputs.finish()"
        )
        assert [update for _, update, _ in events] == [False, True]  # the first and the last

    def test_large_ones_are_sent_smaller(self, notebook: Any) -> None:
        events = notebook(
            "large = Results(np.zeros((1000, 4000, 3), np.uint8), 'a.jpg', {})\n"
            "frame = Results(np.zeros((1000, 4000, 3), np.uint8), 'a.mp4', {}, frame=Frame(1))\n"
            "with Outputs(PredictArguments(show=True)) as outputs: outputs.take(large); outputs.take(frame)"
        )
        assert [shape for shape, _, _ in events] == [[480, 1920, 3], [240, 960, 3]]

    def test_the_shell_of_a_terminal_is_no_notebook(self, notebook: Any) -> None:
        with pytest.raises(AssertionError, match="OptionError: Option show=True has nowhere"):
            notebook("result().show()", NOTEBOOK.replace("shell.kernel", "shell.something"))


class Screen:
    """Stands in for the windows of OpenCV, which its package without them lacks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[str, Any]] = []
        self.titles: dict[str, str] = {}
        self.open: set[str] = set()
        self.waits: list[int] = []
        self.keys: list[int] = []
        for name in ("namedWindow", "resizeWindow", "setWindowTitle", "imshow", "waitKey", "getWindowProperty"):
            monkeypatch.setattr(cv2, name, getattr(self, name))
        monkeypatch.setattr(cv2, "destroyWindow", self.open.discard)
        monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT6")
        monkeypatch.setenv("DISPLAY", ":0")

    def namedWindow(self, name: str, flags: int) -> None:  # noqa: N802
        self.open.add(name)

    def resizeWindow(self, name: str, width: int, height: int) -> None:  # noqa: N802
        assert name in self.open
        assert width <= 1280
        assert height <= 800

    def setWindowTitle(self, name: str, title: str) -> None:  # noqa: N802
        self.titles[name] = title

    def imshow(self, name: str, picture: Any) -> None:
        assert name in self.open
        self.shown.append((self.titles.get(name, name), picture))

    def waitKey(self, delay: int) -> int:  # noqa: N802
        self.waits.append(delay)
        return self.keys.pop(0) if self.keys else -1

    def getWindowProperty(self, name: str, prop: int) -> float:  # noqa: N802
        return float(name in self.open)


class TestInAWindow:
    @pytest.fixture
    def screen(self, headless: None, monkeypatch: pytest.MonkeyPatch) -> Screen:
        return Screen(monkeypatch)

    def test_pictures_take_turns_and_the_last_stays_until_a_key(self, screen: Screen) -> None:
        screen.keys = [-1, -1, -1, -1, 32]
        with Outputs(PredictArguments(show=True, show_labels=False)) as outputs:
            assert outputs.take(result("a.jpg"))
            assert outputs.take(result("b.jpg"))
            outputs.finish()
        assert [title for title, _ in screen.shown] == ["a.jpg", "b.jpg"]
        assert np.array_equal(screen.shown[0][1], result().plot(labels=False))
        assert screen.waits == [display.PAUSE] * 2 + [100] * 3
        assert not screen.open

    def test_each_video_has_a_window_and_does_not_wait_at_its_end(self, screen: Screen) -> None:
        with Outputs(PredictArguments(show=True)) as outputs:
            for path in ("one.mp4", "two.mp4", "one.mp4"):
                assert outputs.take(result(path, Frame(1)))
            outputs.finish()
        assert [title for title, _ in screen.shown] == ["one.mp4", "two.mp4", "one.mp4"]
        assert screen.waits == [1, 1, 1]
        assert not screen.open

    @pytest.mark.parametrize("key", [ord("q"), 27])
    def test_a_key_ends_the_run(self, screen: Screen, key: int) -> None:
        outputs = Outputs(PredictArguments(show=True))
        screen.keys = [-1, key]
        assert [outputs.take(result("one.mp4", Frame(number))) for number in (1, 2)] == [True, False]

    def test_so_does_closing_the_window(self, screen: Screen) -> None:
        outputs = Outputs(PredictArguments(show=True))
        assert outputs.take(result("one.mp4", Frame(1)))
        screen.open.clear()
        assert not outputs.take(result("one.mp4", Frame(2)))
        assert len(screen.shown) == 1

    def test_a_result_is_left_to_the_viewer_if_there_is_one(self, viewer: Path, screen: Screen) -> None:
        result().show()
        assert len(opened(viewer, 1)) == 1
        assert not screen.shown

    def test_a_result_waits_in_the_window_where_there_is_no_viewer(
        self, screen: Screen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "")
        screen.keys = [-1, -1, 32]
        result().show()
        assert len(screen.shown) == 1
        assert not screen.keys

    def test_a_window_without_a_screen_is_not_tried(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DISPLAY")
        with pytest.raises(OptionError, match="nowhere to show"):
            display.open_display()
