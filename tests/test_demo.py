"""`segkit demo` at its smallest: the steps, the table, the page. How good the model gets is judged by `make demo`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_lines import values_of
from installed_formats import formats_of_torch_and

from segkit._benchmark_report import BenchmarkRow
from segkit._demo import _Steps, demo
from segkit._demo_arguments import BOUND, RECIPE, DemoArguments
from segkit._demo_page import page_of
from segkit._demo_pictures import LABELLED, SHOWN
from segkit._demo_report import COLUMNS, DemoReport, DemoRow, Overlap
from segkit.cli import main
from segkit.core.errors import OptionError, UnknownFormatError
from segkit.core.training.arguments import TrainArguments

FAKES = Path(__file__).parent / "fakes"
QUICK = ("--pictures", "8", "--held-out", "8", "--epochs", "1", "--imgsz", "64", "--workers", "0", "--bound", "0")


class Desk:
    """What one run of the command left: its exit code, streams, folder and document."""

    def __init__(self, code: int, out: str, err: str, folder: Path) -> None:
        self.code, self.out, self.err, self.folder = code, out, err, folder
        self.page = (folder / "demo.html").read_text(encoding="utf-8")
        self.document: dict[str, Any] = json.loads((folder / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder; installed are PyTorch, TorchScript, and fakes: one that works, crashes, or lacks a package."""
    folder = tmp_path_factory.mktemp("workplace")
    with formats_of_torch_and(dict.fromkeys(("crash", "needy"), "fake_formats"), folder):
        yield folder


@pytest.fixture(scope="module")
def desk(workplace: Path) -> Desk:
    """The quickest demo."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["demo", *QUICK])
    assert (workplace / "runs" / "demo" / "demo.html").exists(), err.getvalue()
    return Desk(code, out.getvalue(), err.getvalue(), workplace / "runs" / "demo")


# -- what is done -------------------------------------------------------------------------------------------------


def test_everything_that_was_made_lies_in_one_folder(desk: Desk) -> None:
    names = {path.relative_to(desk.folder).as_posix() for path in desk.folder.rglob("*") if path.is_file()}
    assert {"demo.html", "demo.json", "model.pt", "shapes/data.yaml", "train/weights/best.pt"} <= names
    assert {"train/results.png", "formats/benchmark.csv", "formats/files/torchscript/model.torchscript"} <= names
    assert len([name for name in names if re.fullmatch(r"shapes/images/test/\d+\.png", name)]) == 8


def test_a_format_that_fails_is_a_row_with_its_reason_and_the_exit_code_is_1(desk: Desk) -> None:
    rows = {row["format"]: row for row in desk.document["formats"]}
    assert list(rows) == ["pytorch", "crash", "needy", "torchscript"]
    assert [row["state"] for row in rows.values()] == ["ok", "failed", "unavailable", "ok"]
    assert rows["crash"]["reason"]
    assert "pip install" in rows["needy"]["reason"]
    assert desk.code == 1
    assert not desk.document["passed"]


def test_the_table_has_a_row_for_every_format_that_works_and_all_else_below_it(desk: Desk) -> None:
    lines = desk.out.splitlines()
    assert all(title in lines[1] for title in (column.title for column in COLUMNS))
    assert [line.split()[0] for line in lines if line[:1].isalpha()][1:3] == ["pytorch", "torchscript"]
    assert any(line.startswith("  crash (failed): ") for line in lines)
    assert any(line.startswith("  needy (unavailable): ") for line in lines)
    assert f"The page: {Path('runs', 'demo', 'demo.html')}" in lines


def test_the_bound_and_what_was_reached_are_told(desk: Desk) -> None:
    told = f"Mask mAP50 is {desk.document['mask_map50']:.3f} on 8 pictures that the training never saw; 0 was asked for"
    assert told in desk.out
    assert told in desk.page


def test_every_figure_of_a_format_that_works_is_there(desk: Desk) -> None:
    _, _, _, row = desk.document["formats"]
    assert row["size"] > 0
    assert row["total_ms"] > 0
    assert 0 <= row["mask_map"] <= 1
    assert row["overlap"].keys() == {"matched", "missing", "extra", "near", "mean", "worst"}


# -- the page -----------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects every address in a page, and complains about tags that do not close."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_but_itself(desk: Desk) -> None:
    page = Page(desk.page)
    assert page.open == []
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert all(address.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for address in page.addresses)
    assert not re.search(r"https?:|url\(|@import", desk.page)
    assert not re.search(r"\$\w", desk.page)


def test_the_page_shows_the_labels_and_every_format_that_works_in_every_picture(desk: Desk) -> None:
    assert Page(desk.page).tags.count("img") == 1 + SHOWN * 3  # the curves, and every picture three times
    captions = re.findall(r"<figcaption><b>(\w+)</b>", desk.page)
    assert captions == [LABELLED, "pytorch", "torchscript"] * SHOWN


def test_the_page_names_versions_and_gaps(desk: Desk) -> None:
    assert all(f">{name}<" in desk.page for name in ("torch", "segkit", "processor"))
    assert "needy (unavailable)" in desk.page


def test_every_command_on_the_page_is_understood(desk: Desk, report: DemoReport) -> None:
    assert len(report.commands) == 4 + 3
    for line in report.commands:
        values_of(line)


# -- the report alone ---------------------------------------------------------------------------------------------


@pytest.fixture
def report(desk: Desk) -> DemoReport:
    """A report without a run."""
    figures = {"file": "model.torchscript", "size": 1_800_000, "total_ms": 3.25, "box_map": 0.5, "mask_map": 0.25}
    rows = (
        DemoRow(BenchmarkRow("model.pt", "pytorch", "fp32", **figures), desk.folder / "model.pt"),
        DemoRow(
            BenchmarkRow("torchscript", "torchscript", "fp32", **figures),
            desk.folder / "formats" / "files" / "torchscript" / "model.torchscript",
            Overlap(40, 1, 0, 2, 0.99876, 0.9),
        ),
    )
    return DemoReport(
        folder=desk.folder,
        page=desk.folder / "demo.html",
        args=DemoArguments(),
        data=desk.folder / "shapes" / "data.yaml",
        weights=desk.folder / "model.pt",
        results={},
        mask_map50=BOUND,
        rows=rows,
        shown=(),
        machine={"<b>": "&"},
        seconds={"training": 99.6},
    )


def replaced(report: DemoReport, **changes: Any) -> DemoReport:
    return replace(report, **changes)


def test_the_bound_is_passed_by_what_reaches_it_and_by_nothing_below(report: DemoReport) -> None:
    assert report.passed
    assert "0.8 was asked for: reached." in report.verdict
    below = replaced(report, mask_map50=BOUND - 1e-6)
    assert not below.passed
    assert "NOT reached" in below.verdict
    assert 'class="bad"' in page_of(below)


def test_a_format_that_cannot_be_compared_has_failed(report: DemoReport) -> None:
    first, second = report.rows
    broken = replaced(report, rows=(first, DemoRow(second.row, second.path, reason="comparing failed: no")))
    assert not broken.passed
    assert broken.rows[1].state == "failed"
    assert "comparing failed: no" in page_of(broken)


def test_cells_are_written_for_people(report: DemoReport) -> None:
    assert [column.text(report.rows[1]) for column in COLUMNS] == [
        *("torchscript", "1.80", "3.2", "0.500", "0.250", "0.9988"),
    ]
    assert COLUMNS[-1].text(report.rows[0]) == ""


def test_what_is_shown_is_escaped(report: DemoReport) -> None:
    page = page_of(report)
    assert "&lt;b&gt;" in page
    assert "<td>&amp;</td>" in page


# -- arguments ----------------------------------------------------------------------------------------------------


def test_the_recipe_is_one_that_training_accepts() -> None:
    assert TrainArguments(**DemoArguments(workers=2).training()).workers == 2
    assert RECIPE.keys() <= TrainArguments.model_fields.keys()


def test_what_is_held_out_is_not_what_chooses_the_best_epoch() -> None:
    shapes = DemoArguments(held_out=10).shapes()
    assert (shapes["val"], shapes["test"]) == (5, 10)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"epoch": 3}, OptionError, "epochs"),
        ({"imgsz": 100}, OptionError, "imgsz"),
        ({"bound": 2}, OptionError, "bound"),
        ({"format": "onyx"}, UnknownFormatError, "onyx"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(
    workplace: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        demo(lambda *paths: {}, project=str(tmp_path), report=print, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_step_is_told_before_it_begins_and_timed() -> None:
    told: list[str] = []
    steps = _Steps(told.append)
    with steps.step("training", "long"):
        assert told == ["training: long"]
    assert steps.seconds["training"] >= 0


def test_nothing_heavy_is_loaded_for_the_help(tmp_path: Path) -> None:
    code = "import sys; from segkit.cli import main; main(['demo', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
