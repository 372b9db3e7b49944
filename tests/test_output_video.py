"""Videos that a run writes: in the time of their source, in flat memory, and whole however the run ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit import YOLO
from segkit.cli import main
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OutputError
from segkit.core.images.items import Frame
from segkit.core.inference import video
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.output import RunFolder
from segkit.core.inference.recording import IDLE
from segkit.core.inference.results import Results
from segkit.core.inference.video import VideoFile

FAKES = Path(__file__).parent / "fakes"
NAMES = {0: "square"}


def write_clip(path: Path, frames: int, rate: float = 25.0, size: tuple[int, int] = (48, 64)) -> Path:
    """A video whose frame n is grey of brightness n, modulo 200."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size[::-1])
    for number in range(frames):
        writer.write(np.full((*size, 3), number % 200, np.uint8))
    writer.release()
    return path


def read_clip(path: Path) -> tuple[float, list[np.ndarray]]:
    """(rate, frames) of a video."""
    capture = cv2.VideoCapture(str(path))
    frames = [frame for ok, frame in iter(capture.read, (False, None)) if ok]
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate, frames


def result(path: str, frame: Frame | None, color: tuple[int, int, int] = (9, 9, 9), size: Any = (48, 64)) -> Results:
    return Results(np.full((*size, 3), color, np.uint8), path, NAMES, frame=frame)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Makes a run's folder; closed at the end in any case."""
    made = []

    def make(**options: Any) -> RunFolder:
        made.append(RunFolder(PredictArguments(**({"save": True, "project": str(tmp_path)} | options))))
        return made[-1]

    yield make
    for folder in made:
        folder.close()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A model that sees one square in everything, in the working folder."""
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.chdir(tmp_path)
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    folder = tmp_path / "m_blob_model"
    folder.mkdir()
    (folder / "meta.json").write_text(json.dumps({"imgsz": [64, 64], "names": {"0": "square"}}))
    yield folder
    default_registry.cache_clear()


class TestOneFile:
    @pytest.mark.parametrize(
        ("size", "stored"), [((48, 64), (48, 64)), ((49, 65), (50, 66)), ((1, 1), (2, 2)), ((160, 9), (160, 10))]
    )
    def test_a_frame_of_any_size_is_kept_whole(
        self, tmp_path: Path, size: tuple[int, int], stored: tuple[int, int]
    ) -> None:
        picture = np.full((*size, 3), 200, np.uint8)
        file = VideoFile(tmp_path / "clip.mp4", size, 12.5)
        for _ in range(5):
            file.write(picture)
        file.close()
        rate, frames = read_clip(tmp_path / "clip.mp4")
        assert rate == pytest.approx(12.5)
        assert [frame.shape for frame in frames] == [(*stored, 3)] * 5
        assert frames[-1].min() > 190  # the column and row that were added are no black edge

    def test_a_frame_of_another_size_is_fitted_into_the_first(self, tmp_path: Path) -> None:
        file = VideoFile(tmp_path / "clip.mp4", (48, 64), 25)
        file.write(np.zeros((48, 64, 3), np.uint8))
        file.write(np.full((480, 200, 3), 220, np.uint8))
        file.close()
        assert [round(float(frame.mean()), -1) for frame in read_clip(tmp_path / "clip.mp4")[1]] == [0, 220]

    def test_it_has_its_name_only_when_it_is_whole(self, tmp_path: Path) -> None:
        file = VideoFile(tmp_path / "clip.mp4", (48, 64), 25)
        file.write(np.zeros((48, 64, 3), np.uint8))
        (partial,) = files(tmp_path)
        assert partial.startswith(".")
        file.close()
        assert files(tmp_path) == {"clip.mp4"}
        file.close()
        assert len(read_clip(tmp_path / "clip.mp4")[1]) == 1

    def test_frames_too_large_for_the_encoder_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="no encoder for a video of 20000x8"):
            VideoFile(tmp_path / "clip.mp4", (8, 20000), 25)
        assert files(tmp_path) == set()

    def test_a_place_that_is_not_there_is_an_output_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="no such file"):
            VideoFile(tmp_path / "gone" / "clip.mp4", (48, 64), 25)

    def test_a_disk_that_fills_up_keeps_what_was_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = VideoFile(tmp_path / "clip.mp4", (48, 64), 25)
        file.write(np.zeros((48, 64, 3), np.uint8))
        monkeypatch.setattr(video, "RESERVE", 1 << 60)  # no disk has so much left
        with pytest.raises(OutputError, match=r"clip\.mp4': the disk is full"):
            file.write(np.zeros((48, 64, 3), np.uint8), times=1000)
        assert 1 < len(read_clip(tmp_path / "clip.mp4")[1]) < 1000
        assert files(tmp_path) == {"clip.mp4"}
        with pytest.raises(OutputError, match="the disk is full"):
            VideoFile(tmp_path / "other.mp4", (48, 64), 25)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of POSIX")
    def test_a_write_that_fails_unseen_by_opencv_is_an_error_and_leaves_nothing(self, tmp_path: Path) -> None:
        code = (
            "import resource, signal, numpy; from pathlib import Path\n"
            "from segkit.core.inference.video import VideoFile\n"
            "from segkit.core.errors import OutputError\n"
            "file = VideoFile(Path('clip.mp4'), (480, 640), 25)\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "noise = numpy.random.default_rng(0)\n"
            "for _ in range(40): file.write(noise.integers(0, 255, (480, 640, 3), 'uint8'))\n"
            "try: file.close()\n"
            "except OutputError as error: print(error)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout == "Cannot write 'clip.mp4': file too large.\n", done.stderr
        assert files(tmp_path) == set()

    def test_a_missing_encoder_leaves_no_words_on_the_terminal(self, tmp_path: Path) -> None:
        code = (
            "import cv2; cv2.VideoCapture('nothing.mp4').isOpened()\n"  # ffmpeg is at work before segkit
            "from pathlib import Path; from segkit.core.inference import video; import sys\n"
            "video.CODECS = ('avc1', 'HEVC', 'mp4v')\n"
            "print('before', file=sys.stderr, flush=True)\n"
            "file = video.VideoFile(Path('clip.mp4'), (48, 64), 25); file.close()\n"
            "print('after', file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.stderr.partition("before\n")[2] == "after\n"


class TestRunsWithVideos:
    @pytest.mark.parametrize("stride", [1, 3])
    def test_a_video_plays_as_long_as_its_source(self, run: Any, stride: int) -> None:
        folder = run(vid_stride=stride)
        for number in range(1, 61, stride):
            folder.write(result("a/street.avi", Frame(number, 60, 30.0)))
        folder.close()
        rate, frames = read_clip(folder.path / "street.mp4")
        assert len(frames) / rate == pytest.approx(2.0)
        assert len(frames) == 60 // stride

    def test_frames_that_were_dropped_are_bridged(self, run: Any) -> None:
        folder = run()
        for number, grey in ((1, 50), (2, 100), (12, 150), (13, 200)):
            folder.write(result("rtsp://host/cam1", Frame(number, None, 10.0, live=True), (grey,) * 3))
        folder.close()
        rate, frames = read_clip(folder.path / "cam1.mp4")
        assert rate == pytest.approx(10)
        assert [round(float(frame.mean()), -1) for frame in frames] == [50, 100] + [150] * 10 + [200]

    def test_a_stream_that_was_away_for_hours_does_not_fill_the_disk(self, run: Any) -> None:
        folder = run()
        for number in (1, 1_000_000):
            folder.write(result("cam", Frame(number, None, 10.0, live=True)))
        folder.close()
        assert len(read_clip(folder.path / "cam.mp4")[1]) == 1 + 100

    @pytest.mark.parametrize("rate", [None, 0.0, -1.0, float("nan"), 90000.0])
    def test_a_source_with_no_sensible_rate_gets_a_usual_one(self, run: Any, rate: float | None) -> None:
        folder = run()
        folder.write(result("0", Frame(1, None, rate, live=True)))
        folder.close()
        assert read_clip(folder.path / "0.mp4")[0] == pytest.approx(25)

    def test_videos_that_come_in_turns_keep_apart(self, run: Any) -> None:
        folder = run()
        sources = {"a/cam.mp4": (255, 0, 0), "b/cam.mp4": (0, 255, 0), "rtsp://h/live?ch=1": (0, 0, 255)}
        for number, (path, color) in itertools.product(range(1, 21), sources.items()):
            folder.write(result(path, Frame(number, 20, 25.0), color))
        folder.write(result("a/cam.jpg", None))
        folder.close()
        assert files(folder.path) == {"cam.mp4", "cam-2.mp4", "live_ch=1.mp4", "cam-3.jpg"}
        for name, channel in (("cam", 0), ("cam-2", 1), ("live_ch=1", 2)):
            frames = read_clip(folder.path / f"{name}.mp4")[1]
            assert len(frames) == 20
            assert all(frame[..., channel].mean() > 200 and frame.mean() < 100 for frame in frames)

    def test_the_same_video_twice_is_two_files(self, run: Any) -> None:
        folder = run()
        for number in (1, 2, 3, 1, 2):
            folder.write(result("clip.mp4", Frame(number, 3, 25.0)))
        folder.close()
        assert [len(read_clip(folder.path / name)[1]) for name in ("clip.mp4", "clip-2.mp4")] == [3, 2]

    def test_a_folder_of_thousands_does_not_keep_them_all_open(self, run: Any) -> None:
        folder = run()
        for index in range(IDLE * 2):
            folder.write(result(f"{index}.mp4", Frame(1, 1, 25.0)))
        waiting = [name for name in files(folder.path) if name.startswith(".")]
        assert len(waiting) <= IDLE + 1
        assert "0.mp4" in files(folder.path)
        folder.close()
        assert files(folder.path) == {f"{index}.mp4" for index in range(IDLE * 2)}

    def test_files_of_frames_have_its_number(self, run: Any) -> None:
        folder = run(save_frames=True, save_txt=True, save_crop=True, save_masks=True)
        picture = np.zeros((48, 64, 3), np.uint8)
        found = Results(picture, "v/clip.mov", NAMES, np.array([[8, 8, 24, 24, 0.9, 0]], np.float32), frame=Frame(7))
        folder.write(found)
        folder.write(result("v/clip_7.png", None))
        folder.close()
        assert files(folder.path) == {
            "clip.mp4",
            "clip_frames/clip_7.jpg",
            "labels/clip_7.txt",
            "crops/square/clip_7.jpg",
            "clip_7-2.png",
            "labels/clip_7-2.txt",
        }
        assert found.save_dir == str(folder.path)

    def test_a_video_gives_way_to_a_picture_that_has_the_name_of_a_frame(self, run: Any) -> None:
        folder = run(save=False, save_txt=True)
        folder.write(result("v/clip_7.png", None))
        folder.write(result("v/clip.mp4", Frame(7)))
        assert files(folder.path) == {"labels/clip_7.txt", "labels/clip-2_7.txt"}

    def test_save_frames_alone_writes_no_video(self, run: Any) -> None:
        folder = run(save=False, save_frames=True)
        folder.write(result("clip.mp4", Frame(1)))
        folder.write(result("bus.jpg", None))
        folder.close()
        assert files(folder.path) == {"clip_frames/clip_1.jpg"}


class TestHowARunEnds:
    def test_a_stream_that_is_left_early_leaves_a_video_that_plays(self, model: Path, tmp_path: Path) -> None:
        write_clip(tmp_path / "clip.mp4", 50)
        for found in YOLO(model).predict("clip.mp4", stream=True, save=True):
            assert found.frame is not None
            if found.frame.number == 20:
                break
        del found
        _, frames = read_clip(tmp_path / "runs/segment/predict/clip.mp4")
        assert len(frames) == 20
        assert files(tmp_path / "runs/segment/predict") == {"clip.mp4"}

    def test_a_process_that_ends_in_the_middle_of_a_stream_finishes_its_video(
        self, model: Path, tmp_path: Path
    ) -> None:
        write_clip(tmp_path / "clip.mp4", 50)
        code = (
            f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
            "from segkit.core.backend.registry import default_registry\n"
            "default_registry().register('blob', 'fake_formats')\n"
            "from segkit import YOLO\n"
            "results = YOLO('m_blob_model').predict('clip.mp4', stream=True, save=True)\n"
            "for _ in range(10): next(results)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(read_clip(tmp_path / "runs/segment/predict/clip.mp4")[1]) == 10

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT between processes")
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_run_that_is_stopped_keeps_what_it_has_done(
        self, model: Path, tmp_path: Path, number: int, code: int
    ) -> None:
        write_clip(tmp_path / "clip.mp4", 100)
        script = (
            f"import os, sys; sys.path.insert(0, {str(FAKES)!r})\n"
            "from segkit.core.backend.registry import default_registry\n"
            "default_registry().register('blob', 'fake_formats')\n"
            "import fake_formats; seen = []; run = fake_formats.SquarePredictor.run\n"
            "def stopping(self, batch):\n"
            f"    seen.append(1); len(seen) == 30 and os.kill(os.getpid(), {int(number)})\n"
            "    return run(self, batch)\n"
            "fake_formats.SquarePredictor.run = stopping\n"
            "sys.argv = ['segkit', 'predict', 'm_blob_model', 'clip.mp4', 'save_masks=coco']\n"
            "from segkit.cli import main; sys.exit(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        folder = tmp_path / "runs/segment/predict"
        assert files(folder) == {"clip.mp4", "coco.json"}
        if number == signal.SIGINT:  # the usual end of a live stream, too
            assert done.stdout.splitlines()[-1] == "Results saved to runs/segment/predict"
        written = len(read_clip(folder / "clip.mp4")[1])
        assert 20 < written <= 30
        listed = len(json.loads((folder / "coco.json").read_text())["images"])
        assert written - listed in (0, 1), "the signal may come between a frame's two places"

    def test_a_failure_in_the_middle_leaves_a_video_that_plays(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_clip(tmp_path / "clip.mp4", 50)
        monkeypatch.setattr(
            "segkit.core.inference.saving.write_text", lambda path, text: _full(path) if "_20" in path.name else None
        )
        assert main(["predict", "m_blob_model", "clip.mp4", "--save-txt"]) == 2
        assert "clip_20.txt': the disk is full" in capsys.readouterr().err
        assert len(read_clip(tmp_path / "runs/segment/predict/clip.mp4")[1]) == 20


def _full(path: Path) -> None:
    raise OutputError(path, "the disk is full")


MEMORY_OF_A_VIDEO = """
import psutil
from segkit import YOLO
from segkit.core.backend.registry import default_registry

default_registry().register("blob", "fake_formats")
process = psutil.Process()
for index, found in enumerate(YOLO("m_blob_model").predict("long.mp4", stream=True, save=True)):
    assert len(found) == 1
    if index % 500 == 0:
        print(process.memory_info().rss)
"""


def test_ten_minutes_of_video_take_no_more_memory_than_one(model: Path, tmp_path: Path) -> None:
    """15000 frames are 138 MB; what grows is the index of the file that is written, some 50 bytes a frame.

    In a process of its own: that of the tests holds what others left in it.
    """
    write_clip(tmp_path / "long.mp4", 15000)
    command, paths = [sys.executable, "-c", MEMORY_OF_A_VIDEO], {"PYTHONPATH": str(FAKES)}
    said = subprocess.run(command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=True)
    memory = [int(line) for line in said.stdout.split()]
    early, late = max(memory[2:6]), max(memory[6:])
    assert late - early < 6 << 20
    capture = cv2.VideoCapture(str(tmp_path / "runs/segment/predict/long.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 15000
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)


def test_a_real_video_with_a_real_model(data: Path, n_seg_pt: Path, tmp_path: Path) -> None:
    """One person walks about: found in the frames that are written, drawn where the masks are."""
    pytest.importorskip("torch")
    source = data / "video" / "person.mp4"
    options = {"vid_stride": 150, "save": True, "save_txt": True, "project": str(tmp_path), "threads": 2}
    results = list(YOLO(n_seg_pt).predict(source, stream=True, imgsz=320, **options))
    rate, frames = read_clip(tmp_path / "predict" / "person.mp4")
    assert len(frames) == len(results) == 10
    assert rate == pytest.approx(10 / 150, abs=1e-3)
    seen = [found for found in results if found.masks is not None]
    assert len(seen) >= 6
    for found in seen:
        assert found.frame is not None
        drawn = frames[results.index(found)].astype(int)
        assert found.masks is not None
        mask = found.masks[0].instances.native().dense()[0]
        changed = np.abs(drawn - found.orig_img).sum(axis=2)
        assert changed[mask].mean() > 4 * changed[~mask].mean()
        assert (tmp_path / "predict/labels" / f"person_{found.frame.number}.txt").read_text().count("\n") == len(found)
