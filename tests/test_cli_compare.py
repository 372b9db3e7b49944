"""`segkit compare` as a user meets it: figures, verdicts, pictures side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from films import film

from segkit.cli import main
from segkit.conformance.comparing import ComparisonRun
from segkit.conformance.panels import DIFFERENT, NEAR
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError

FAKES = Path(__file__).parent / "fakes"

SQUARE, CIRCLE = [20, 20, 24, 24, 0.9, 0], [44, 44, 20, 20, 0.6, 1]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty working folder with two pictures, and the scripted format installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    default_registry().register("scripted", "scripted_format")
    (tmp_path / "pictures").mkdir()
    for name in ("one", "two"):
        cv2.imwrite(f"pictures/{name}.png", np.full((64, 64, 3), 90, np.uint8))
    yield tmp_path
    default_registry.cache_clear()


def write(name: str, *objects: list[float], **more: Any) -> str:
    """A model that sees these objects."""
    Path(name).write_text(json.dumps({"objects": objects, **more}))
    return name


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["compare", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    return json.loads(out)


def test_equal_models_agree_in_every_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write("a.scripted", SQUARE, CIRCLE), write("b.scripted", SQUARE, CIRCLE)
    code, out, err = run(capsys, a, b, "source=pictures", "--strict")
    assert (code, err) == (0, "")
    assert "b.scripted against a.scripted" in out
    assert "4 matched, 0 missing, 0 extra" in out
    assert "worst 1.0000, mean 1.000000" in out
    assert "within the limits for fp32 (mask IoU" in out
    assert "Worst pictures" not in out
    assert out.endswith("Pictures side by side saved to runs/compare\n")
    assert {path.name for path in Path("runs/compare").iterdir()} == {"one.jpg", "two.jpg"}


def test_frames_of_a_video_are_told_apart_by_their_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(folder / "clip.mp4", 3)
    a, b = write("a.scripted", SQUARE, CIRCLE), write("b.scripted", SQUARE)
    _, out, _ = run(capsys, a, b, "source=clip.mp4")
    assert [f"clip.mp4 {number}/3  1 matched, 1 missing" in out for number in (1, 2, 3)] == [True] * 3
    assert {path.name for path in Path("runs/compare").iterdir()} == {f"clip_{number}.jpg" for number in (1, 2, 3)}


def test_a_lost_object_is_counted_listed_and_fails_a_strict_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write("a.scripted", SQUARE, CIRCLE), write("b.scripted", SQUARE)
    assert run(capsys, a, b, "source=pictures", "--no-save")[0] == 0
    code, out, _ = run(capsys, a, b, "source=pictures", "--no-save", "--strict")
    assert code == 1
    assert "2 matched, 2 missing, 0 extra" in out
    assert "2, 2 with differences" in out
    assert "beyond the limits for fp32" in out
    assert run(capsys, a, b, "source=pictures", "--no-save", "--strict", "lost=0.5")[0] == 0
    assert run(capsys, a, b, "source=pictures", "--no-save", "--strict", "lost=0.4")[0] == 1
    assert "one.png  1 matched, 1 missing, mask IoU 1.0000, score 0.0000" in out
    assert not Path("runs").exists()


def test_an_added_object_is_extra(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE, CIRCLE)
    (found,) = document(capsys, a, b, "source=pictures/one.png")["models"]
    assert (found["totals"]["missing"], found["totals"]["extra"]) == (0, 1)


def test_an_object_near_the_threshold_is_told_and_forgiven(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near = [44, 44, 20, 20, 0.255, 1]
    a, b = write("a.scripted", SQUARE, near), write("b.scripted", SQUARE)
    code, out, _ = run(capsys, a, b, "source=pictures/one.png", "--strict", "--no-save")
    assert code == 0
    assert "1 matched, 0 missing, 0 extra, 1 near the threshold" in out
    assert "Worst pictures" in out


def test_the_document_has_every_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smaller = [20, 20, 24, 18, 0.7, 0]
    a, b = write("a.scripted", SQUARE), write("b.scripted", smaller)
    whole = document(capsys, a, b, "source=pictures/one.png", "--score", "0.5", "--mask-iou", "0.7")
    assert (whole["reference"], whole["within"], whole["save_dir"]) == (a, True, "runs/compare")
    (found,) = whole["models"]
    totals = found["totals"]
    assert totals["worst_mask_iou"] == totals["mean_mask_iou"] == pytest.approx(0.75, abs=0.03)
    assert totals["worst_box_iou"] == pytest.approx(0.75)
    assert totals["worst_box_shift"] == pytest.approx(3)
    assert totals["worst_score_difference"] == pytest.approx(0.2)
    assert found["limits"] == {"mask_iou": 0.7, "score": 0.5, "lost": 0.0}
    assert [row["path"] for row in found["pictures"]] == ["pictures/one.png"]


def test_a_limit_that_is_passed_fails_a_strict_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", [20, 20, 24, 24, 0.8, 0])
    argv = (a, b, "source=pictures/one.png", "--strict", "--no-save")
    assert run(capsys, *argv, "score=0.2")[0] == 0
    assert run(capsys, *argv, "score=0.05")[0] == 1


@pytest.mark.parametrize("output", ["boxes", "scores", "coefficients", "prototypes"])
def test_the_first_output_that_diverges_is_named(folder: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE, noise={output: 0.01})
    (found,) = document(capsys, a, b, "source=pictures", "--no-save")["models"]
    assert found["raw"]["first_divergence"] == output
    by_name = {each["output"]: each for each in found["raw"]["outputs"]}
    assert by_name[output]["maximum"] == pytest.approx(0.01, rel=1e-3)
    assert [name for name, each in by_name.items() if not each["within"]] == [output]
    assert by_name[output]["picture"] == "pictures/one.png"
    _, out, _ = run(capsys, a, b, "source=pictures", "--no-save")
    assert out.count("the first beyond the limit") == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"nms": True}, "objects are selected inside"),
        ({"imgsz": [96, 96]}, "the models take inputs of different sizes"),
    ],
)
def test_raw_outputs_that_cannot_be_compared_are_left_out_with_a_word(
    folder: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], reason: str
) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE, **more)
    code, out, _ = run(capsys, a, b, "source=pictures", "--no-save")
    assert code == 0
    assert f"not compared: {reason}" in " ".join(out.split())


def test_limits_that_one_file_has_built_in_hold_for_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faint = [44, 44, 20, 20, 0.15, 1]
    a, b = write("a.scripted", SQUARE, faint), write("b.scripted", SQUARE, faint, nms=True, conf=0.1)
    (found,) = document(capsys, a, b, "source=pictures/one.png", "--no-save")["models"]
    assert (found["totals"]["matched"], found["totals"]["near"], found["within"]) == (2, 0, True)
    (found,) = document(capsys, b, a, "source=pictures/one.png", "--no-save", "conf=0.2")["models"]
    assert (found["totals"]["matched"], found["within"]) == (1, True)


def test_several_models_are_each_held_against_the_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = write("a.scripted", SQUARE), write("b.scripted", SQUARE), write("c.scripted", CIRCLE)
    found = document(capsys, f"model={a}", f"model={b}", f"model={c}", "source=pictures/one.png")
    assert [(each["model"], each["within"]) for each in found["models"]] == [(b, True), (c, False)]
    panels = cv2.imread("runs/compare/one.jpg")
    assert panels.shape[1] == 3 * 64 + 2 * 8


def colours(picture: Any, colour: tuple[int, int, int]) -> int:
    """Pixels about as bright in each channel as `colour`."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) < 50).sum())


def test_differences_are_marked_in_their_colours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("large.png", np.full((320, 320, 3), 90, np.uint8))
    near = [50, 12, 16, 16, 0.255, 1]
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE, CIRCLE, near)
    run(capsys, a, b, "source=large.png")
    panels = cv2.imread("runs/compare/large.jpg")
    reference, other = panels[:, :320], panels[:, -320:]
    assert colours(reference, DIFFERENT) == colours(reference, NEAR) == 0
    assert colours(other, DIFFERENT) > 200
    assert colours(other, NEAR) > 100


def test_every_run_has_a_folder_of_its_own_and_pictures_of_one_name_stay_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE)
    Path("pictures/one.bmp").write_bytes(Path("pictures/one.png").read_bytes())
    for _ in range(2):
        run(capsys, a, b, "source=pictures")
    assert {path.name for path in Path("runs").iterdir()} == {"compare", "compare2"}
    assert len(list(Path("runs/compare2").iterdir())) == 3
    run(capsys, a, b, "source=pictures/one.png", "project=out", "name=mine")
    assert Path("out/mine/one.jpg").is_file()


def test_a_picture_that_cannot_be_read_is_told_and_fails_a_strict_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pictures/zz.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE)
    assert run(capsys, a, b, "source=pictures", "--no-save")[0] == 0
    code, out, err = run(capsys, a, b, "source=pictures", "--no-save", "--strict")
    assert code == 1
    assert "1 picture could not be read" in out
    assert err.startswith("skipped: Cannot read 'pictures/zz.png'")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["a.scripted", "source=pictures"], "give two models or more"),
        (["a.scripted", "a.scripted"], "compare needs pictures"),
        (["a.scripted", "gone.scripted", "source=pictures"], "gone.scripted"),
        (["a.scripted", "a.scripted", "source=gone"], "gone"),
        (["a.scripted", "a.scripted", "source=pictures", "mask_iou=2"], "a number from 0 to 1"),
        (["a.scripted", "a.scripted", "source=pictures", "score=nan"], "a number from 0 to 1"),
        (["a.scripted", "a.scripted", "source=pictures", "worst=many"], "a whole number"),
        (["a.scripted", "a.scripted", "source=pictures", "conf=7"], "conf"),
        (["a.scripted", "a.scripted", "source=pictures", "save_txt"], "save_txt"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], problem: str
) -> None:
    write("a.scripted", SQUARE)
    code, out, err = run(capsys, *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert problem in err


def test_python_refuses_options_that_change_how_pictures_are_cut(folder: Path) -> None:
    a, b = write("a.scripted", SQUARE), write("b.scripted", SQUARE)
    with pytest.raises(OptionError, match="tile"):
        ComparisonRun([a, b], "pictures", options={"tile": 32})


def test_comparing_exported_files_imports_no_torch(data: Path, bus: Path, tmp_path: Path) -> None:
    model = data / "foreign" / "yolov8n-seg.onnx"
    code = (
        "import sys; from segkit.cli import main;"
        f"code = main(['compare', {str(model)!r}, {str(model)!r}, 'source={bus}', '--strict', '--no-save']);"
        "print(code, sorted({'torch', 'onnx', 'pytest', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 []\n"), done.stdout
    assert "5 matched, 0 missing, 0 extra" in done.stdout or "6 matched, 0 missing, 0 extra" in done.stdout
