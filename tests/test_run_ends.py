"""What a run leaves open when it ends early: nothing, whoever ends it, and whoever holds on to the error."""

from __future__ import annotations

import copy
import gc
import json
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import STALL, Cameras, film

from segkit import YOLO, _stream
from segkit._stream import ResultStream
from segkit.conformance.comparing import ComparisonRun
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, RuntimeFailure
from segkit.core.inference import output
from segkit.core.inference.display import Display, Window
from segkit.core.inference.output import Stems

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A model that sees one square in everything, in the working folder."""
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    folder = tmp_path / "m_blob_model"
    folder.mkdir()
    (folder / "meta.json").write_text(json.dumps({"imgsz": [64, 64], "names": {"0": "square"}}))
    yield folder
    default_registry.cache_clear()


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("segkit-stream", "segkit-rea"))]


def test_a_camera_is_free_again_while_somebody_still_holds_the_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook keeps the last traceback: what its frames refer to must not go on filming."""
    import fake_formats

    def fail(self: object, batch: object) -> None:
        raise ValueError("out of memory")

    monkeypatch.setattr(fake_formats.SquarePredictor, "run", fail)
    with Cameras({"cam": [30, STALL]}) as cameras:
        with pytest.raises(RuntimeFailure) as held:
            list(YOLO(model).predict(f"{cameras.address}/cam.mjpg", stream=True))
        cameras.over.set()
        assert readers() == []
    del held


def test_a_comparison_that_is_left_early_reads_no_further(model: Path) -> None:
    film(Path("a.mp4"), 40)
    with ComparisonRun([model, model], ["a.mp4", "a.mp4"], save=False) as run:
        pictures = iter(run)
        next(pictures)
    assert readers() == []
    del pictures


def test_another_thread_may_close_a_stream(model: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        try:
            for number in range(10):
                begun.set()
                assert go_on.wait(30)
                yield number
        finally:
            ended.append(True)

    ended: list[bool] = []
    seen: list[object] = []
    stream = ResultStream(slow(), lambda: None)  # type: ignore[arg-type]
    worker = threading.Thread(target=lambda: seen.extend(stream))
    worker.start()
    assert begun.wait(30)
    closer = threading.Thread(target=stream.close)
    closer.start()
    while not stream._closed:
        pass
    go_on.set()
    closer.join(30)
    worker.join(30)
    assert (ended, seen) == ([True], [0])
    assert not closer.is_alive()
    assert not worker.is_alive()


def test_threads_that_share_a_stream_get_every_result_once(model: Path) -> None:
    film(Path("a.mp4"), 40)
    stream, seen = YOLO(model).predict("a.mp4", stream=True), []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            seen.extend(found.frame.number for found in stream if found.frame)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    assert sorted(seen) == list(range(1, 41))


def test_the_end_of_a_process_does_not_wait_for_ever_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stream, "PATIENCE", 0.01)
    inside, go_on = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        inside.set()
        assert go_on.wait(30)
        yield 1

    stream = ResultStream(endless(), lambda: None)  # type: ignore[arg-type]
    worker = threading.Thread(target=lambda: next(stream))
    worker.start()
    assert inside.wait(30)
    at_the_end = weakref.finalize(stream, print)._registry  # type: ignore[attr-defined]
    for info in [info for info in at_the_end.values() if info.func is _stream._close]:
        info.func(*info.args)  # as Python does; nothing is raised
    go_on.set()
    worker.join(30)
    assert not worker.is_alive()


def test_a_copy_outlives_the_model_it_was_made_from() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    model = YOLO("yolov8n-seg.yaml")
    model.predict(picture, imgsz=64)
    twin = copy.deepcopy(model)
    del model
    gc.collect()
    assert len(twin.predict(picture, imgsz=64)) == 1


def test_a_model_whose_file_has_gone_is_an_error_in_one_line(model: Path) -> None:
    opened = YOLO(model)
    shutil.rmtree(model)
    with pytest.raises(ModelFileError):
        opened.predict(np.zeros((64, 64, 3), np.uint8))


def test_a_window_that_cannot_be_closed_costs_no_video(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Display):
        def show(self, picture: object, title: str, *, moving: bool = False) -> bool:
            return True

        def close(self) -> None:
            raise cv2.error("no window system")

    monkeypatch.setattr(output, "open_display", Broken)
    film(Path("a.mp4"), 3)
    with pytest.raises(cv2.error, match="no window system"):
        YOLO(model).predict("a.mp4", show=True, save=True)
    assert [path.name for path in (tmp_path / "runs/segment/predict").iterdir()] == ["a.mp4"]


def test_a_window_that_its_user_closed_ends_the_run_whatever_opencv_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str, what: int) -> float:
        raise cv2.error("NULL guiReceiver")

    window = Window()
    window._open.add("clip.mp4")
    monkeypatch.setattr(cv2, "getWindowProperty", gone)
    assert not window.show(np.zeros((8, 8, 3), np.uint8), "clip.mp4", moving=True)
    window.close()


def test_a_stream_is_called_after_its_path_else_after_its_server() -> None:
    stems = Stems()
    addresses = ("tcp://10.0.0.1:8770", "tcp://10.0.0.2:8770/", "rtsp://10.0.0.1:554/door.sdp", "rtsp://***@cam.lan")
    names = [stems.of_video(address) for address in addresses]
    assert names == ["10.0.0.1_8770", "10.0.0.2_8770", "door", "___@cam.lan"]


def test_thousands_of_pictures_of_one_name_are_named_in_one_look_each() -> None:
    looks: list[str] = []

    class Watched(set[str]):
        def __contains__(self, name: object) -> bool:
            looks.append(str(name))
            return super().__contains__(name)

    stems = Stems()
    stems._pictures = Watched()
    names = [stems.of_picture(f"{folder}/rgb.png") for folder in range(2000)]
    assert names[:3] == ["rgb", "rgb-2", "rgb-3"]
    assert len(set(names)) == 2000
    assert len(looks) < 3 * 2000
