"""`segkit benchmark` as a user meets it: every format in one table, those that fail with their reason."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from installed_formats import formats_of_torch_and

from segkit._benchmark import BenchmarkReport, benchmark
from segkit._benchmark_report import State
from segkit.cli import main
from segkit.core.errors import OptionError

FAKES = Path(__file__).parent / "fakes"
SMALL = {"imgsz": 320, "rounds": 2}
FORMATS = ("blob", "crash", "mute", "needy", "tiny")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, data: Path, n_seg_pt: Path) -> Iterator[Path]:
    """A working folder with weights and eight labelled pictures; installed are PyTorch, TorchScript and some fakes."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(n_seg_pt, folder / "n.pt")
    source = data / "datasets" / "coco128-seg"
    for kind in ("images", "labels"):
        (folder / "eight" / kind).mkdir(parents=True)
        for path in sorted((source / kind / "train2017").iterdir())[:8]:
            shutil.copy(path, folder / "eight" / kind)
    text = (source / "coco128-seg.yaml").read_text(encoding="utf-8").replace("images/train2017", "images")
    (folder / "eight" / "data.yaml").write_text(text, encoding="utf-8")
    fakes = dict.fromkeys(FORMATS, "fake_formats") | {"scripted": "scripted_format"}
    with formats_of_torch_and(fakes, folder):
        yield folder


@pytest.fixture(scope="module")
def report(desk: Path) -> BenchmarkReport:
    """Every installed format, in fp32 and int8."""
    return benchmark("n.pt", "eight/data.yaml", int8=True, report=lambda text: None, **SMALL)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["benchmark", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def rows_of(report: BenchmarkReport) -> dict[str, Any]:
    return {row.name: row for row in report.rows}


def test_every_installed_format_has_a_row_the_reference_first(report: BenchmarkReport) -> None:
    labels = [row.name for row in report.rows]
    both = [name for format in ("blob", "crash", "mute") for name in (format, f"{format} int8")]
    last = ["needy", "tiny", "tiny int8", "torchscript", "torchscript int8"]  # the first cannot run here at all
    assert labels == ["n.pt", *both, *last]


def test_what_can_run_has_every_figure(report: BenchmarkReport) -> None:
    rows = rows_of(report)
    for name in ("n.pt", "blob", "tiny", "tiny int8", "torchscript"):
        row = rows[name]
        assert (row.state, row.reason, row.imgsz) == (State.OK, "", (320, 320))
        assert row.total_ms > 0 < row.run_ms
        assert min(row.load_ms, row.first_ms, row.size) > 0
        assert min(row.box_map, row.mask_map) >= 0
        assert (row.export_s is None) is (name == "n.pt")
    assert rows["torchscript"].size > 10_000_000


def test_an_exact_format_has_the_accuracy_of_the_weights_and_another_is_beyond_the_bound(
    report: BenchmarkReport,
) -> None:
    rows = rows_of(report)
    assert rows["n.pt"].mask_map > 0.2
    assert rows["n.pt"].mask_difference == 0
    assert abs(rows["torchscript"].box_difference) < 0.002
    assert abs(rows["torchscript"].mask_difference) < 0.002
    assert rows["torchscript"].within
    assert rows["blob"].within is False
    assert rows["blob"].mask_difference == rows["blob"].mask_map - rows["n.pt"].mask_map
    assert not report.within


@pytest.mark.parametrize(
    ("label", "state", "reason"),
    [
        ("crash", State.FAILED, "Export to crash failed: the converter crashed"),
        ("mute", State.FAILED, "mute"),
        ("needy", State.UNAVAILABLE, 'pip install "no-such-package>=3"'),
        ("torchscript int8", State.UNAVAILABLE, "Format 'torchscript' does not support int8"),
        ("blob int8", State.UNAVAILABLE, "Format 'blob' does not support int8"),
    ],
)
def test_what_fails_has_its_reason_and_stops_nobody(
    report: BenchmarkReport, label: str, state: State, reason: str
) -> None:
    row = rows_of(report)[label]
    assert row.state is state
    assert reason in row.reason
    assert "\n" not in row.reason
    assert row.mask_map is None


def test_the_folder_of_the_run_holds_the_same_figures(desk: Path, report: BenchmarkReport) -> None:
    assert report.save_dir == Path("runs/benchmark")
    names = {path.name for path in report.save_dir.iterdir()}
    assert names == {"benchmark.csv", "benchmark.json", "benchmark.md", "benchmark.png"}
    with (report.save_dir / "benchmark.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    document = json.loads((report.save_dir / "benchmark.json").read_text(encoding="utf-8"))
    assert len(table) == len(document["rows"]) == len(report.rows)
    for line, plain, row in zip(table, document["rows"], report.rows, strict=True):
        assert (line["format"], line["imgsz"]) == (row.format, "320x320" if row.imgsz else "")
        assert plain["mask_map"] == (None if row.mask_map is None else pytest.approx(row.mask_map, abs=1e-6))
        assert line["run_ms"] == ("" if row.run_ms is None else str(plain["run_ms"]))
    assert (document["pictures"], document["settings"]["rounds"]) == (8, 2)
    assert {"processor", "segkit", "torch"} <= document["machine"].keys()
    assert cv2.imread(str(report.save_dir / "benchmark.png")).shape == (800, 1200, 3)


def test_nothing_is_left_beside_the_files_of_the_user(desk: Path, report: BenchmarkReport) -> None:
    assert {path.name for path in desk.iterdir()} - {"out"} == {"n.pt", "eight", "runs"}


def test_a_table_for_an_issue_and_a_data_frame(report: BenchmarkReport) -> None:
    text = report.to_markdown()
    assert text.count("\n| ") == 1 + 1 + 5
    assert "- needy (unavailable): Export to needy needs no-such-package>=3" in text
    frame = report.to_df()
    assert list(frame["format"]) == [row.format for row in report.rows]
    assert report.to_df("polars").shape == frame.shape
    with pytest.raises(OptionError, match="pandas or polars"):
        report.to_df("excel")


def test_a_strict_run_fails_with_a_format_beyond_the_bound_and_says_which(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("n.pt", "data=eight/data.yaml", "format=blob", "imgsz=320", "rounds=1", "pictures=2", "project=out")
    code, out, err = run(capsys, *argv, "--strict")
    assert code == 1
    assert "Beyond the bound\n  blob: mask AP differs by -" in out
    assert out.splitlines()[0].split()[:4] == ["model", "MB", "export", "s"]
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["n.pt", "blob"]
    assert out.endswith("Table and plot saved to out/benchmark\n")
    assert "export 1 of 1: blob" in err
    assert run(capsys, *argv, "--strict", "bound=1")[0] == 0


def test_files_that_are_kept_are_in_the_folder_of_the_run(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("n.pt", "data=eight/data.yaml", "format=tiny", "half", "imgsz=320", "rounds=1", "fraction=0.2", "keep")
    code, out, _ = run(capsys, *argv, "project=out", "name=kept", "--json")
    document = json.loads(out)
    assert (code, document["save_dir"], document["pictures"]) == (0, "out/kept", 2)
    assert [row["precision"] for row in document["rows"]] == ["fp32", "fp32", "fp16"]
    assert not document["within"]  # which is told, and no failure unless it is asked for
    assert {path.name for path in Path("out/kept/files").iterdir()} == {"tiny", "tiny-fp16"}
    assert Path("out/kept/files/tiny-fp16/n.tiny").is_file()


def test_files_of_the_user_are_measured_as_they_are(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = {"objects": [], "noise": {"boxes": float("nan")}}
    Path("out").mkdir(exist_ok=True)
    Path("out/nan.scripted").write_text(json.dumps(script), encoding="utf-8")
    Path("out/other.scripted").write_text(json.dumps({"objects": []}), encoding="utf-8")
    files = ("n.pt", "n.pt", "out/nan.scripted", "out/other.scripted")
    argv = (*files, "data=eight/data.yaml", "--no-export", "rounds=1", "pictures=2", "imgsz=320", "--no-save", "--json")
    code, out, _ = run(capsys, *argv)
    assert code == 0
    first, same, broken, foreign = json.loads(out)["rows"]
    assert first["mask_map"] == same["mask_map"]
    assert same["within"]
    assert (broken["state"], broken["run_ms"]) == ("failed", None)
    assert "not finite numbers" in broken["reason"]
    assert foreign["run_ms"] > 0
    assert "they do not fit together" in foreign["reason"]
    assert foreign["imgsz"] == [64, 64]  # it is fixed to that
    assert run(capsys, *argv, "--strict")[0] == 1


def test_a_format_that_is_asked_for_by_name_has_no_excuse(desk: Path) -> None:
    found = benchmark(
        "n.pt", "eight/data.yaml", format="needy", pictures=1, save=False, report=lambda text: None, **SMALL
    )
    assert [row.state for row in found.rows] == [State.OK, State.FAILED]
    assert not found.within


def test_nothing_measured_is_a_failure(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("n.pt", "n.pt", "data=eight/data.yaml", "--no-export", "device=cuda:97", "project=out", "name=none")
    code, out, _ = run(capsys, *argv)
    assert code == 1
    assert "n.pt (failed): " in out
    assert not Path("out/none/benchmark.png").exists()


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        ([], "MODEL is missing"),
        (["gone.pt", "data=eight/data.yaml"], "gone.pt"),
        (["n.pt", "data=gone.yaml"], "gone.yaml"),
        (["n.pt", "data=eight/data.yaml", "split=test"], "test"),
        (["n.pt", "data=eight/data.yaml", "format=blobb"], "Did you mean 'blob'?"),
        (["n.pt", "data=eight/data.yaml", "pictures=0"], "pictures"),
        (["n.pt", "data=eight/data.yaml", "pictures=2", "fraction=.5"], "give one of them"),
        (["n.pt", "data=eight/data.yaml", "--no-export"], "there is only one file"),
        (["n.pt", "data=eight/data.yaml", "--no-export", "half"], "leave out export=False"),
        (["n.pt", "data=eight/data.yaml", "keep", "--no-save"], "leave out save=False"),
        (["n.pt", "data=eight/data.yaml", "bound=2"], "bound"),
        (["n.pt", "data=eight/data.yaml", "project=n.pt"], "Cannot write 'n.pt/benchmark'"),
        (["n.pt", "data=eight/data.yaml", "conf=.5"], "Unknown option 'conf'"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    desk: Path, capsys: pytest.CaptureFixture[str], argv: list[str], problem: str
) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert problem in err


@pytest.mark.parametrize("package", ["faster_coco_eval", "matplotlib"])
def test_packages_that_are_missing_are_told_before_the_work(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    found, _, err = run(capsys, "n.pt", "data=eight/data.yaml", "format=crash")
    assert (found, err.count("\n")) == (2, 1)
    assert 'pip install "segkit[val]"' in err


def test_a_model_that_is_no_weights_is_measured_alone_only_without_exports(desk: Path) -> None:
    made = Path("out/only.scripted")
    made.parent.mkdir(exist_ok=True)
    made.write_text(json.dumps({"objects": []}), encoding="utf-8")
    with pytest.raises(OptionError, match="Export needs weights"):
        benchmark(made, "eight/data.yaml", format="blob")
