"""Reports of the suite: the matrix, the page, Markdown, JUnit and JSON say the same, and grey is never green."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.conformance import VERSION, report_files
from segkit.conformance.report import (
    BackendReport,
    Candidate,
    FailOn,
    Image,
    Outcome,
    Report,
    Row,
    read_report,
    shortened,
)
from segkit.conformance.report_files import check_folder, files_of, write_json, write_reports
from segkit.conformance.report_junit import junit_of
from segkit.conformance.report_markdown import BEGIN, END, markdown_of, matrix_lines, replace_matrix, section_of
from segkit.conformance.report_matrix import by_precision, closeness, matrix_of
from segkit.conformance.report_page import WORST, page_of, worst_shown
from segkit.conformance.stage import Figure, Stage
from segkit.core.backend.registry import default_registry
from segkit.core.errors import InputError, OutputError

ROOT = Path(__file__).resolve().parent.parent
STAGES = [*Stage]
HOSTILE = "<script>alert('&')</script> | `x` \x00"


def row(stage: str, precision: str = "", outcome: Outcome = Outcome.PASSED, **more: Any) -> Row:
    """A test."""
    case = more.pop("case", precision)
    return Row(f"x::{stage}[{case}]", "alpha", stage, precision, f"{stage} works", case, outcome, **more)


def gap(stage: str, precision: str, kind: str = "needs-hardware") -> Row:
    """A declared gap."""
    reason = f"{precision}: it needs a graphics card"
    return row(stage, precision, Outcome.GAP, kind=kind, reason=reason, feature=precision)


def unrun(stage: str, kind: str = "needs-hardware") -> Row:
    """A test that ended because no file of the format can be run here."""
    return row(stage, outcome=Outcome.GAP, kind=kind, reason="predict: it needs a graphics card", feature="predict")


def boxes(value: float, *, within: bool = True) -> Figure:
    """A figure with a bound."""
    return Figure("boxes, largest error", value, "px", "<= 0.005 px", within)


ALPHA = Candidate("alpha", "Alpha", "segkit 0.1.0", {"alphart": "1.2"})


def good(*rows: Row) -> BackendReport:
    """A format with these tests."""
    return BackendReport(ALPHA, rows, seconds=12.25)


def full(folder: Path) -> Report:
    """A report with everything that there can be, its pictures in `folder`."""
    images = []
    for index, title in enumerate(("reference", "backend", "difference")):
        path = folder / f"{index}.png"
        picture = np.full((120, 160, 3), 235, np.uint8)
        cv2.circle(picture, (80 + 2 * index, 60), 40, (60, 160 - 60 * index, 40 + 90 * index), -1)
        cv2.imwrite(str(path), picture)
        images.append(Image(title, path.name))
    speed = (Figure("one picture, median", 7.5, "ms"), Figure("artefact", 13.4, "MB"))
    rows = [
        *(row(stage, case=str(number)) for stage in ("declare", "export", "metadata") for number in range(4)),
        *(row("raw", "fp32", case=f"fp32-{n}", figures=(boxes(0.001 * n),), seconds=0.5) for n in range(1, 5)),
        row("raw", "fp16", figures=(Figure("SNR", 52.0, "dB", ">= 40 dB"),)),
        gap("raw", "int8"),
        gap("instances", "int8"),
        row("instances", "fp32", figures=(Figure("mask IoU", 0.9995, "", ">= 0.999"),), pictures=tuple(images)),
        row("dataset", "fp32", Outcome.SKIPPED, reason="no trained weights: set SEGKIT_TEST_DATA"),
        row("contract", case="threads"),
        row("speed", "fp32", figures=speed),
    ]
    beta = Candidate("beta", "Beta, a stranger's", "beta-segkit 3.1", {"betart": "0.9"})
    wrong = boxes(58.25, within=False)
    bad = replace(row("raw", "fp32"), format="beta", outcome=Outcome.FAILED, figures=(wrong,), pictures=tuple(images))
    bad = replace(bad, message=f"boxes: max 58.2 px (limit 0.005)\n{HOSTILE}")
    slow = replace(row("instances", "fp16"), format="beta", figures=(Figure("mask IoU", 0.985, "", ">= 0.98"),))
    return Report(
        (
            BackendReport(ALPHA, tuple(rows), seconds=42.0),
            BackendReport(beta, (bad, slow, replace(row("declare"), format="beta")), seconds=9.0),
            BackendReport(Candidate("gamma", "Gamma", "segkit 0.1.0", missing=("gammart>=2",))),
            BackendReport(
                Candidate("delta", "delta", "delta 1", fault="x"), problem="Plugin 'delta': cannot be imported."
            ),
        ),
        {"format": ["alpha", "beta"]},
        {"platform": "Linux", "processor": "a fast one"},
        seconds=51.0,
    )


# -- the matrix


@pytest.mark.parametrize(
    ("rows", "state", "count", "beside"),
    [
        ([row("raw"), row("raw")], "passed", "2/2", ""),
        ([row("raw"), gap("raw", "")], "passed", "1/1", "1 gap"),
        ([row("raw"), row("raw", outcome=Outcome.FAILED)], "failed", "1/2", ""),
        ([gap("raw", ""), gap("raw", "", "needs-os")], "gap", "needs hardware, needs os", ""),
        ([gap("raw", ""), row("raw", outcome=Outcome.SKIPPED)], "gap", "needs hardware", ""),
        ([row("raw", outcome=Outcome.SKIPPED)], "skipped", "1 skipped", ""),
    ],
)
def test_a_cell_is_green_only_where_something_was_run_and_nothing_failed(
    rows: list[Row], state: str, count: str, beside: str
) -> None:
    (line,) = matrix_of(Report((good(*rows),))).lines
    (cell,) = line.cells
    assert (cell.state, cell.count(), cell.beside()) == (state, count, beside)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", [""]),
        ("one\ntwo", ["one"]),
        ("it ends with 1:\nTraceback:\nKeyError: 'x'\n", ["it ends with 1:", "KeyError: 'x'"]),
        ("far:\n  a: 1\n! b: 2\n! c: 3\nlikely: d", ["far:", "! b: 2", "! c: 3", "likely: d"]),
        ("far:\n" + "! b\n" * 99 + "likely: d", ["far:", *["! b"] * 4, "likely: d"]),
    ],
)
def test_of_a_failure_a_few_lines_are_told(message: str, told: list[str]) -> None:
    assert row("raw", outcome=Outcome.FAILED, message=message).told() == told


def test_a_message_that_is_too_long_keeps_the_lines_that_tell() -> None:
    long = (
        "too far:\n" + "\n".join(f"  a: {n}" for n in range(99)) + "\n! boxes: max 58\nlikely: they are twice as large"
    )
    text = shortened(long, 200)
    assert len(text) < 300
    assert text.splitlines()[-2:] == ["! boxes: max 58", "likely: they are twice as large"]
    assert re.search(r"^  a: \d+ …$", text, re.MULTILINE)
    assert shortened("some words here", 12) == "some words …"
    assert shortened("short", 12) == "short"


def test_what_is_wrong_is_whole_in_every_form(tmp_path: Path) -> None:
    why = "likely: " + "the boxes are twice as large " * 40 + "END"
    skipped = "not judged, because of what stage raw has found: boxes: max 58: " + "and more " * 99 + "END"
    rows = (
        row("raw", outcome=Outcome.FAILED, message=f"too far (limit 80 dB):\n! boxes: max 58\n{why}"),
        row("instances", outcome=Outcome.SKIPPED, reason=skipped),
    )
    report = Report((good(*rows),))
    (case, other) = ElementTree.fromstring(junit_of(report)).iter("testcase")
    (failure,), (skip,) = case.iter("failure"), other.iter("skipped")
    assert failure.get("message") == f"too far (limit 80 dB): ! boxes: max 58 {why}"
    assert skip.get("message") == skipped
    page = page_of(report, tmp_path)
    assert f"<b>! boxes: max 58</b>\n<b>{why}</b>" in page
    assert skipped in page
    assert f"  - {why}" in markdown_of(report)


def test_the_matrix_can_be_turned(tmp_path: Path) -> None:
    precisions, turned = by_precision(matrix_of(full(tmp_path)))
    assert precisions == ["all", "fp32", "fp16", "int8"]
    assert [backend.candidate.name for backend, _ in turned] == ["alpha", "beta", "gamma", "delta"]
    (_, alpha), (_, beta), (_, gamma), _ = turned
    counts = {stage: [cell.count() for cell in cells] for stage, cells in alpha}
    assert counts["raw"] == ["", "4/4", "1/1", "needs hardware"]
    assert [stage for stage, _ in beta] == ["declare", "raw", "instances"]
    assert gamma == []


def test_stages_and_precisions_stand_in_their_order(tmp_path: Path) -> None:
    matrix = matrix_of(full(tmp_path))
    assert matrix.stages == tuple(stage for stage in STAGES if stage != Stage.PREPROCESS)
    lines = [(line.backend.candidate.name, line.label) for line in matrix.lines]
    assert lines == [
        *(("alpha", label) for label in ("all", "fp32", "fp16", "int8")),
        *(("beta", label) for label in ("all", "fp32", "fp16")),
        *(("gamma", "all"), ("delta", "all")),
    ]


@pytest.mark.parametrize(
    ("figure", "share"),
    [
        (boxes(0.001), 0.2),
        (boxes(0.01, within=False), 2),
        (Figure("SNR", 80, "dB", ">= 40 dB"), 0.01),
        (Figure("mask IoU", 0.95, "", ">= 0.9"), 0.5),
        (Figure("match", 1, "", ">= 1"), 0),
        (Figure("pictures a second", 40, "Hz", ">= 20 Hz (wider for this backend: 3 <= 4)"), 0.5),
        (Figure("SNR", float("inf"), "dB", ">= 40 dB"), 0),
        (Figure("boxes", float("nan"), "px", "<= 1 px", within=False), float("inf")),
        (Figure("match", 0.99, "", ">= 1", within=False), float("inf")),
        (Figure("ms", 7), -1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_how_much_of_its_bound_a_figure_uses_up(figure: Figure, share: float) -> None:
    assert closeness(figure) == pytest.approx(share)


def test_the_headline_of_a_cell_is_what_is_nearest_to_its_bound() -> None:
    figures = (Figure("ms", 3), boxes(0.001), Figure("SNR", 44, "dB", ">= 40 dB"))
    (line,) = matrix_of(Report((good(row("raw", figures=figures)),))).lines
    assert line.cells[0].figure() == "44 dB"


# -- verdicts


def test_a_run_passes_where_something_was_tested_and_nothing_failed(tmp_path: Path) -> None:
    assert Report((good(row("raw")),)).passes()
    assert not Report((good(row("raw"), row("raw", outcome=Outcome.FAILED)),)).passes()
    assert not Report((good(gap("raw", "")),)).passes()
    assert not Report((BackendReport(ALPHA, (row("raw"),), problem="it crashed"),)).passes()
    assert Report((good(row("raw")), BackendReport(Candidate("g", "G", missing=("x",))))).passes()
    declared = replace(
        good(row("declare"), row("raw", outcome=Outcome.SKIPPED)), candidate=replace(ALPHA, missing=("x",))
    )
    assert (declared.summary(), Report((declared,)).passes()) == ("not tested: needs x", False)
    assert full(tmp_path).verdict() == "1 of 3 formats pass in 51 s; failed: beta, delta; not tested: gamma."


def test_what_cannot_be_run_here_is_not_among_those_that_pass(tmp_path: Path) -> None:
    """Its declarations and exports are tested, its numbers are not."""
    beta = replace(ALPHA, name="beta", title="Beta")
    report = Report((good(row("raw")), replace(good(row("export"), unrun("raw")), candidate=beta)), seconds=9)
    assert [each.state for each in report.backends] == ["passed", "not run"]
    assert report.verdict() == "1 of 2 formats pass in 9 s; could not be run here: beta (needs hardware)."
    assert report.passes()
    why = "needs hardware: it needs a graphics card"
    assert f"not run: 1 passed, 0 failed, 1 declared gap in 12 s; {why}" == report.backends[1].summary()
    plain = report.to_plain()
    assert plain["verdict"] == report.verdict()
    assert [each["why_not"] for each in plain["backends"]] == ["", why]
    assert f'<property name="why not" value="{why}" />' in junit_of(report)
    page = page_of(report, tmp_path)
    assert f"Beta could not be run here: {why}</p>" in page
    assert 'class="good">1 of 2' in page
    alone = Report(report.backends[1:])
    assert alone.passes()
    assert 'class="note">0 of 1 format passes' in page_of(alone, tmp_path)
    assert not Report((good(unrun("raw")),)).passes()
    assert good(unrun("raw")).summary() == f"not tested: {why}"


@pytest.mark.parametrize(
    ("kind", "on_gap", "on_broken"),
    [("needs-hardware", False, True), ("broken-upstream", False, False), ("not-applicable", True, True)],
)
def test_gaps_fail_a_run_by_their_kind(kind: str, on_gap: bool, on_broken: bool) -> None:
    report = Report((good(row("raw"), gap("raw", "fp16", kind)),))
    told = [replace(report, asked={"fail_on": each.value}) for each in (FailOn.GAP, FailOn.BROKEN)]
    assert (report.passes(), *(each.passes() for each in told)) == (True, on_gap, on_broken)


def test_a_gap_that_fails_the_run_is_a_failure_in_every_form(tmp_path: Path) -> None:
    rows = (row("raw"), gap("raw", "fp16"), gap("raw", "int8", "not-applicable"))
    report = Report((good(*rows),), {"fail_on": "gap"})
    assert report.verdict().endswith("The run fails because of 1 test at declared gaps: fail_on=gap.")
    assert report.to_plain()["passed"] is False
    (suite,) = ElementTree.fromstring(junit_of(report))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["3", "1", "1"]
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "fail_on=gap: needs-hardware: fp16: it needs a graphics card"
    page = page_of(report, tmp_path).partition("What failed")[2].partition("</section>")[0]
    assert "Alpha: declared gaps, which fail this run (fail_on=gap)" in page
    assert "<dt>fp16: needs hardware, 1 test</dt><dd>it needs a graphics card</dd>" in page
    assert "int8" not in page
    assert "- `alpha`, needs-hardware, fails the run (fail_on=gap): fp16: it needs" in markdown_of(report)
    assert "What failed" not in page_of(replace(report, asked={}), tmp_path)


# -- files


def test_json_gives_the_same_report_back(tmp_path: Path) -> None:
    report = full(tmp_path)
    wild = row("raw", figures=(Figure("SNR", float("inf"), "dB"), Figure("box", float("nan"), "px")))
    report = replace(report, backends=(*report.backends, good(wild)))
    text = json.dumps(report.to_plain(), allow_nan=False)
    again = Report.from_plain(json.loads(text))
    assert json.dumps(again.to_plain()) == text
    assert again.backends[:-1] == report.backends[:-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("{", "it is not the report.json of a conformance run (JSONDecodeError"),
        ("{}", "it is not the report.json of a conformance run (KeyError: 'schema')"),
        ('{"schema": 99}', "its shape has the number 99, this segkit reads 2"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=re.escape(words)):
        read_report(path)


def test_all_files_are_written_and_pictures_come_along(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    written = write_reports(full(tmp_path / "in"), tmp_path / "in", out)
    again = write_reports(full(tmp_path / "in"), tmp_path / "in", out)  # into the same folder
    assert written == again == read_report(out / "report.json")
    paths = [image.path for row in written.rows() for image in row.pictures]
    assert paths[0] == "pictures/alpha/0.png"
    assert all((out / path).is_file() for path in paths)


def test_what_an_earlier_report_wrote_goes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    report = full(tmp_path / "in")
    (tmp_path / "in" / "beta.log").write_text("Traceback")
    assert write_reports(report, tmp_path / "in", out).backends[1].log == "beta.log"
    (out / "alpha.log").write_text("mine")
    (out / "pictures" / "alpha" / "mine.png").write_text("mine")
    write_reports(Report((good(row("raw")),)), tmp_path / "in", out)
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert left == {
        *("report.json", "junit.xml", "report.md", "index.html"),
        *("alpha.log", "pictures/alpha/mine.png"),
    }


@pytest.mark.parametrize("name", ["../mine.png", "/mine.png", "pictures/../../mine.png"])
def test_a_report_that_somebody_wrote_by_hand_removes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mine.png").touch()
    named = str(tmp_path / "mine.png") if name.startswith("/") else name
    write_json(Report((good(row("raw", pictures=(Image("x", named),))),)), out / "report.json")
    assert files_of(out / "report.json") == set()
    write_reports(Report((good(row("raw")),)), tmp_path, out)
    assert (tmp_path / "mine.png").exists()


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    report = full(tmp_path / "in")

    def full_disk(report: Report) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    with monkeypatch.context() as patched:
        patched.setattr(report_files, "markdown_of", full_disk)
        with pytest.raises(OutputError, match="the disk is full"):
            write_reports(report, tmp_path / "in", out)
        assert not out.exists()
    write_reports(report, tmp_path / "in", out)
    before = contents()
    monkeypatch.setattr(report_files, "markdown_of", full_disk)
    with pytest.raises(OutputError, match="the disk is full"):
        write_reports(Report((good(row("raw")),)), tmp_path / "in", out)
    assert contents() == before


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("out", "something of that name is in the way, no folder"),
        ("out/pictures", "it is a file, and the report has a folder of that name"),
        ("out/report.md/", "it is a folder, and the report has a file of that name"),
        ("out/alpha.log/", "it is a folder, and the report has a file of that name"),
    ],
)
def test_a_folder_that_a_report_does_not_fit_into_is_refused(tmp_path: Path, there: str, said: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if there.endswith("/") else path.touch()
    with pytest.raises(OutputError, match=said):
        check_folder(tmp_path / "out", ["alpha"])
    assert sorted(each.relative_to(tmp_path) for each in tmp_path.rglob("*")) == sorted({Path("out"), Path(there)})


def test_looking_at_a_folder_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "far" / "away")
    assert not (tmp_path / "far").exists()
    monkeypatch.chdir(tmp_path)
    check_folder(Path())
    assert tmp_path.exists()
    assert not list(tmp_path.iterdir())


def test_junit_counts_as_pytest_does(tmp_path: Path) -> None:
    root = ElementTree.fromstring(junit_of(full(tmp_path)))
    alpha, beta, gamma, delta = root
    assert [int(alpha.get(name, "")) for name in ("tests", "failures", "errors", "skipped")] == [23, 0, 0, 3]
    assert (beta.get("failures"), gamma.get("tests"), delta.get("errors")) == ("1", "0", "1")
    skipped = {each.get("type") for each in alpha.iter("skipped")}
    assert skipped == {"pytest.xfail", "pytest.skip"}
    properties = {each.get("name"): each.get("value") for each in alpha.iter("property")}
    assert properties["plugin"] == "segkit 0.1.0"
    assert properties["alphart"] == "1.2"
    assert properties["SNR"] == "52 dB (bound >= 40 dB)"
    assert "\\x00" in (beta.findtext("testcase/failure") or "")


def test_markdown_has_the_matrix_the_gaps_and_the_failures(tmp_path: Path) -> None:
    text = markdown_of(full(tmp_path))
    assert "| `alpha` | fp32 |  |  |  | ✅ 4/4<br>boxes, largest error 0.004 px |" in text
    assert "| `alpha` | int8 |  |  |  | ⬜ needs hardware | ⬜ needs hardware |" in text
    assert "❌ 0/1<br>boxes, largest error 58.2 px" in text
    assert "⬜ not tested: needs gammart\\>=2" in text
    assert "- `alpha`, needs-hardware: int8: it needs a graphics card" in text
    assert "plugin of beta-segkit 3.1; betart 0.9" in text
    assert "\n    segkit conformance format=alpha,beta\n" in text
    assert "<script>" not in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| ")}
    assert len(widths) == 1


def test_the_matrix_of_a_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_matrix(page, full(tmp_path))
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n1 of 3 formats pass")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    page.write_text("no place for it")
    with pytest.raises(InputError, match="it needs the lines"):
        replace_matrix(page, full(tmp_path))


# -- the page


class Elements(HTMLParser):
    """Elements of a page with their attributes, and whether all of them are closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_stands_alone(tmp_path: Path) -> None:
    text = page_of(full(tmp_path), tmp_path)
    page = Elements(text)
    assert page.open == []
    assert not {tag for tag, _ in page.found} & {"script", "link", "iframe", "object"}
    links = [value for _, attributes in page.found for name, value in attributes.items() if name in ("src", "href")]
    assert len(links) == 6
    assert all((link or "").startswith("data:image/png;base64,") for link in links)
    assert "&lt;script&gt;" in text
    assert "$" not in text.partition("</style>")[2]


def test_gaps_are_grey_on_the_page(tmp_path: Path) -> None:
    report = full(tmp_path)
    cells = re.findall(r'<td class="(\w+)" data-stage="(\w+)"[^>]*>(.*?)</td>', page_of(report, tmp_path))
    grey = [kind for kind, _, body in cells if "needs hardware" in body]
    assert grey == ["gap", "gap"]
    assert {kind for kind, _, body in cells if not body} == {"none"}
    for fact in ("runs on alphart 1.2", "plugin of beta-segkit 3.1", report.suite, report.python, "a fast one"):
        assert fact in page_of(report, tmp_path)


def test_on_a_narrow_screen_every_cell_says_what_it_is(tmp_path: Path) -> None:
    """Tables are cards there, and pictures stand below each other: nothing has a width of its own."""
    text = page_of(full(tmp_path), tmp_path)
    tables = re.findall(r'<table class="list">(.*?)</table>', text, re.DOTALL)
    assert len(tables) == 3
    for table in tables:
        names = re.findall(r'<th scope="col">(.*?)</th>', table)
        assert all(names)
        for line in re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", table):
            cells = re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", line)
            named = [re.search(r'data-name="(.*?)"', attributes) for attributes, _ in cells]
            assert [name and name[1] for name in named] == [
                name if body else None for name, (_, body) in zip(names, cells, strict=True)
            ]
    assert not re.search(r"min-width: \d", text.replace("max-width", ""))
    assert "minmax(min(100%," in text


def test_the_worst_pictures_come_first_and_are_not_too_many() -> None:
    image = (Image("difference", "x.png"),)
    rows = [row("raw", case=str(n), figures=(boxes(0.0001 * n),), pictures=image) for n in range(WORST + 5)]
    failed = row("raw", case="failed", outcome=Outcome.FAILED, pictures=image)
    shown = worst_shown([*rows, failed, row("raw", case="without pictures")])
    assert len(shown) == WORST
    assert [each.case for each in shown[:2]] == ["failed", str(WORST + 4)]


# -- docs/conformance.md

PAGE = ROOT / "docs" / "conformance.md"
CELL = re.compile(
    r"(✅ \d+/\d+|❌ \d+/\d+|⬜ [a-z ,]+|⬜ \d+ skipped)(<br>\d+ gaps?(, \d+ skipped)?|<br>\d+ skipped)?(<br>[^|<]+)?|"
)


def test_the_matrix_of_the_docs_is_what_the_command_writes() -> None:
    """Its figures are those of one machine and one day; its shape, formats and stages are those of this suite."""
    section = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = [
        [each.strip() for each in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"
    ]
    head, rule, *rows = lines
    stages = head[2:]
    assert head[:2] == ["format", "precision"]
    assert stages == [stage for stage in STAGES if stage in stages]
    assert rule == ["---"] * len(head)
    assert {row[0].strip("`") for row in rows} == set(default_registry().names())
    for cells in rows:
        assert cells[1] in ("all", "fp32", "fp16", "int8")
        assert len(cells) == len(head)
        assert [cell for cell in cells[2:] if not CELL.fullmatch(cell)] == []
    assert matrix_lines(Report((good(row(stages[0])),)))[0].split(" | ")[:2] == ["| format", "precision"]
    assert f"\nSuite {VERSION}, " in section


def test_the_command_of_the_docs_writes_the_matrix(tmp_path: Path) -> None:
    report = full(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(report.to_plain()))
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-P", str(ROOT / "scripts" / "conformance_matrix.py"), "report.json", str(page)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\n".join(section_of(report)) in page.read_text(encoding="utf-8")
    wrong = subprocess.run([*command[:-2], "none.json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
