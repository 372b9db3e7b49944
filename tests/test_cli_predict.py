"""`segkit predict` with videos, with every kind of source, and with --strict: what it prints and how it exits."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from films import Sender, film

from segkit.cli import main
from segkit.cli.argv import Kind
from segkit.cli.predict import command
from segkit.core.backend.registry import default_registry
from segkit.core.images import capture, live

FAKES = Path(__file__).parent / "fakes"


@dataclass(frozen=True)
class Outcome:
    """Exit code and streams of a run."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Predict = Callable[..., Outcome]


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Predict]:
    """Run `segkit predict model …` in a folder with pictures, a broken one and two videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    furnish(tmp_path)

    def run(*words: str) -> Outcome:
        code = main(["predict", "m_blob_model", *words])
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    yield run
    default_registry.cache_clear()


def furnish(folder: Path) -> None:
    (folder / "m_blob_model").mkdir()
    (folder / "m_blob_model/meta.json").write_text(json.dumps({"imgsz": [64, 64], "names": {"0": "square"}}))
    for name in ("one.png", "two.png"):
        cv2.imwrite(str(folder / name), np.full((60, 80, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    for name, count in (("a.mp4", 12), ("b.mp4", 5)):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
        for number in range(count):
            writer.write(np.full((48, 64, 3), number, np.uint8))
        writer.release()


class TestStrict:
    def test_what_cannot_be_read_makes_the_exit_code_1_after_all_was_done(self, predict: Predict) -> None:
        done = predict("one.png", "broken.png", "two.png", "--strict")
        assert done.code == 1
        assert done.lines[-2:] == ["1 of 3 pictures could not be read", "Results saved to runs/segment/predict"]
        assert {path.name for path in Path("runs/segment/predict").iterdir()} == {"one.png", "two.png"}
        assert done.err.startswith("skipped: Cannot read 'broken.png'")

    def test_the_document_is_complete(self, predict: Predict) -> None:
        done = predict("one.png", "broken.png", "strict=True", "--json", "--no-save")
        document = json.loads(done.out)
        assert done.code == 1
        assert [image["path"] for image in document["images"]] == ["one.png"]
        assert [error["path"] for error in document["unreadable"]] == ["broken.png"]

    @pytest.mark.parametrize("words", [["one.png", "broken.png"], ["one.png", "two.png", "--strict"]])
    def test_otherwise_it_is_0(self, predict: Predict, words: list[str]) -> None:
        assert predict(*words, "--no-save").code == 0

    def test_nothing_readable_is_still_a_wrong_source(self, predict: Predict) -> None:
        done = predict("broken.png", "broken.png", "--strict")
        assert done.code == 2
        assert "none of the 2 pictures could be read" in done.err


class TestVideos:
    def test_a_line_a_video_and_not_one_a_frame(self, predict: Predict) -> None:
        done = predict("a.mp4", "b.mp4", "one.png", "--save-txt")
        assert [line.split("  ")[:3] for line in done.lines[:3]] == [
            ["a.mp4", "64x48", "12 frames, 12 with objects"],
            ["b.mp4", "64x48", "5 frames, 5 with objects"],
            ["one.png", "80x60", "1 square"],
        ]
        assert done.lines[0].endswith(" ms a frame")
        assert "(18 pictures)" in done.lines[3]
        assert (done.code, done.err) == (0, "")

    def test_a_line_a_frame_if_it_is_asked_for(self, predict: Predict) -> None:
        done = predict("a.mp4", "--verbose", "vid_stride=4", "--no-save")
        assert [line.split("  ")[0] for line in done.lines[:4]] == ["a.mp4 1/12", "a.mp4 5/12", "a.mp4 9/12", "a.mp4"]
        assert "3 frames, 3 with objects" in done.lines[3]

    def test_no_line_of_either_kind_if_they_are_switched_off(self, predict: Predict) -> None:
        done = predict("a.mp4", "one.png", "verbose=False", "--no-save")
        assert len(done.lines) == 1
        assert done.lines[0].startswith("Speed: ")

    def test_the_same_video_twice(self, predict: Predict) -> None:
        done = predict("b.mp4", "b.mp4")
        assert [line.split("  ")[2] for line in done.lines[:2]] == ["5 frames, 5 with objects"] * 2
        assert {path.name for path in Path("runs/segment/predict").iterdir()} == {"b.mp4", "b-2.mp4"}

    def test_the_document_numbers_the_frames(self, predict: Predict) -> None:
        done = predict("b.mp4", "one.png", "--json", "--no-save")
        images = json.loads(done.out)["images"]
        assert [(image["path"], image["frame"]) for image in images] == [
            *(("b.mp4", number) for number in range(1, 6)),
            ("one.png", None),
        ]
        assert [line.split("  ")[0] for line in done.err.splitlines()] == ["b.mp4", "one.png"]

    def test_masks_frames_and_crops_go_to_the_folder_of_the_run(self, predict: Predict) -> None:
        predict("b.mp4", "save_masks=coco", "save_frames", "save_crop", "name=mine")
        folder = Path("runs/segment/mine")
        assert {path.name for path in folder.iterdir()} == {"b.mp4", "b_frames", "coco.json", "crops"}
        assert len(json.loads((folder / "coco.json").read_text())["annotations"]) == 5


class TestSources:
    @pytest.mark.parametrize("words", [["-"], ["source=-"], ["source", "=", "-"], ["--source", "-"]])
    def test_a_picture_from_standard_input(
        self, predict: Predict, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("one.png").read_bytes())))
        done = predict(*words, "--no-save", "--json")
        assert [image["width"] for image in json.loads(done.out)["images"]] == [80]

    def test_a_list_in_a_file(self, predict: Predict) -> None:
        Path("all.txt").write_text("one.png\nb.mp4\n")
        done = predict("all.txt", "--no-save")
        assert [line.split("  ")[0] for line in done.lines[:2]] == ["one.png", "b.mp4"]

    def test_a_stream_that_is_lost_leaves_its_line_and_the_place_of_its_video(
        self, predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
        monkeypatch.setattr(live, "PAUSE", 0.01)
        monkeypatch.setattr(capture, "READ_TIMEOUT", 1.0)
        with Sender(film(tmp_path / "a.ts", 5).read_bytes(), callers=1) as sender:
            done = predict(sender.address, "stream_buffer")
        assert done.code == 2
        assert "the stream was lost after 5 frames" in done.err
        assert "  5 frames, 5 with objects" in done.lines[0]
        folder = Path("runs/segment/predict")
        assert done.lines[-1] == f"Results saved to {folder}"
        assert [path.name for path in folder.iterdir()] == [
            sender.address.removeprefix("tcp://").replace(":", "_") + ".mp4"
        ]

    def test_a_camera_that_is_not_there_is_one_line(self, predict: Predict) -> None:
        """Number 97, so that no machine's own camera is used."""
        done = predict("source=97")
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "97" in done.err

    def test_nothing_to_show_pictures_on_is_told_before_any_work(
        self, predict: Predict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.platform", "linux")
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        done = predict("one.png", "--show")
        assert done.code == 2
        assert done.err.startswith("Error: Option show=True has nowhere to show pictures")
        assert not Path("runs").exists()

    def test_options_that_only_some_formats_have_are_known_once_one_is_given(self) -> None:
        usual = {option.name for option in command(["m.onnx", "source=b.jpg", "--no-save", "conf=.5"]).options}
        for word in ("fuse=False", "--no-fuse", "fsue=False"):
            options = {option.name: option for option in command(["m.pt", "a.jpg", word]).options}
            assert "fuse" in options.keys() - usual
            assert options["fuse"].kind is Kind.FLAG

    def test_a_misspelt_option_of_one_format_is_guessed_and_one_of_another_format_refused(
        self, predict: Predict
    ) -> None:
        assert "Did you mean 'fuse'?" in predict("one.png", "fsue=False").err
        assert "Unknown option 'fuse'" in predict("one.png", "fuse=False").err

    def test_the_help_names_every_kind(self, predict: Predict) -> None:
        shown = " ".join(predict("--help").out.replace("│", " ").split())
        for word in ("video", ".streams", "camera's number", "rtsp://", "'screen'", "standard input", "--strict"):
            assert word in shown


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
class TestProgress:
    SCRIPT = (
        f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
        "from segkit.core.backend.registry import default_registry\n"
        "default_registry().register('blob', 'fake_formats')\n"
        "import fake_formats, time; run = fake_formats.SquarePredictor.run\n"
        "def slowly(self, batch): time.sleep(0.02); return run(self, batch)\n"
        "fake_formats.SquarePredictor.run = slowly\n"
        "from segkit.cli import main; sys.exit(main(sys.argv[1:]))"
    )

    def terminal(self, folder: Path, *words: str, out: bool = True, err: bool = True) -> tuple[str, bytes]:
        """(what a terminal shows, what is piped) of a run whose streams are on the terminal or in pipes."""
        furnish(folder)
        ours, theirs = os.openpty()
        argv = [sys.executable, "-c", self.SCRIPT, "predict", "m_blob_model", *words]
        with subprocess.Popen(
            argv,
            stdout=theirs if out else subprocess.PIPE,
            stderr=theirs if err else subprocess.PIPE,
            cwd=folder,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        ) as process:
            os.close(theirs)
            shown = b"".join(iter(lambda: self._read(ours), b""))
            piped = b"".join(pipe.read() for pipe in (process.stdout, process.stderr) if pipe is not None)
        os.close(ours)
        assert process.returncode == 0, shown + piped
        return shown.decode(), piped

    @staticmethod
    def _read(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 4096)
        except OSError:
            return b""

    def test_a_terminal_sees_a_bar_of_the_frames_and_the_line_of_the_video(self, tmp_path: Path) -> None:
        shown, _ = self.terminal(tmp_path, "a.mp4")
        assert "/12" in shown
        assert "frames/s" in shown
        assert shown.count("12 frames, 12 with objects") == 1
        assert shown.rstrip().endswith("Results saved to runs/segment/predict")

    def test_the_bar_is_on_stderr_when_the_lines_go_to_a_file(self, tmp_path: Path) -> None:
        shown, piped = self.terminal(tmp_path, "a.mp4", "one.png", out=False)
        assert "frames/s" in shown
        assert b"\x1b" not in piped
        assert piped.splitlines()[0].startswith(b"a.mp4  64x48  12 frames")

    @pytest.mark.parametrize("words", [["--json"], ["verbose=False"]])
    def test_pipes_get_no_progress(self, tmp_path: Path, words: list[str]) -> None:
        shown, piped = self.terminal(tmp_path, "a.mp4", *words, out=False, err=False)
        assert shown == ""
        assert b"frames/s" not in piped

    def test_the_document_comes_without_progress_on_the_terminal(self, tmp_path: Path) -> None:
        shown, piped = self.terminal(tmp_path, "a.mp4", "--json", out=False)
        assert "frames/s" not in shown
        assert len(json.loads(piped)["images"]) == 12


def test_standard_input_of_a_real_process(tmp_path: Path) -> None:
    """The bytes of a picture through a pipe, as `cat one.png | segkit predict model -`."""
    furnish(tmp_path)
    done: Any = subprocess.run(
        [sys.executable, "-c", TestProgress.SCRIPT, "predict", "m_blob_model", "-", "--json", "--no-save"],
        input=(tmp_path / "one.png").read_bytes(),
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"][0]["height"] == 60
