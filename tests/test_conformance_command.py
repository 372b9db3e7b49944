"""`segkit conformance` and its options of pytest: what runs, what a crash or a hang costs, what is refused.

The suite that runs here is a tiny one that crashes, hangs, fails and passes on purpose; the formats are real.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from segkit.cli import main
from segkit.cli.conformance import _show
from segkit.cli.output import Output
from segkit.conformance import candidates, pytest_plugin, runner
from segkit.conformance.arguments import PRECISIONS, STAGES, ConformanceArguments
from segkit.conformance.candidates import candidates_of
from segkit.conformance.gaps import need
from segkit.conformance.pytest_session import GAP
from segkit.conformance.report import BackendReport, Candidate, Outcome, Report, Row, read_report
from segkit.conformance.report_markdown import markdown_of
from segkit.conformance.runner import ConformanceRun
from segkit.conformance.settings import Settings
from segkit.conformance.temporary import temporary_folder
from segkit.core.backend.capability import Feature
from segkit.core.backend.format import Requirement
from segkit.core.backend.options import validate
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.errors import InputError, MissingDependencyError, OutputError

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent

SUITE = """
import os, signal, time
from pathlib import Path
import pytest
from segkit.conformance.stage import Notes, Stage, at
from segkit.core.backend.options import Precision


class Fake:
    @at(Stage.SPEED)
    def test_speed(self, request):
        Notes(request.node.user_properties).figure("one picture", 12.5, "ms")

    @at(Stage.DECLARE)
    def test_declaration(self):
        assert os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] == "1"

    @at(Stage.RAW)
    @pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8], ids=str)
    def test_numbers(self, request, precision, tmp_path):
        notes = Notes(request.node.user_properties)
        if precision is Precision.INT8:
            pytest.xfail("declared gap 'int8' (needs-hardware): it needs eight-bit units")
        notes.figure("boxes, largest error", 0.002, "px", "<= 0.005 px")
        picture = tmp_path / "a b.png"
        picture.write_bytes(b"picture")
        notes.picture("difference", picture)

    @at(Stage.RAW)
    def test_absent(self):
        pytest.skip("there is no such file")


class TestGood(Fake):
    format = "onnx"


class TestBad(Fake):
    format = "pytorch"

    @at(Stage.CONTRACT)
    @pytest.mark.parametrize("how", HOW)
    def test_end(self, how):
        if how == "segfault":
            os.write(2, b"corrupt heap\\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "exit":
            os._exit(0)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "full":
            raise OSError(28, os.strerror(28))
        if how == "hang":
            if "SEGKIT_TEST_PID" in os.environ:
                Path(os.environ["SEGKIT_TEST_PID"]).write_text(str(os.getpid()))
            time.sleep(600)
        if how == "wrong":
            lines = ["mine is too far from PyTorch (limit 80 dB):", "! boxes: max 58", "  scores: max 0"]
            raise AssertionError("\\n".join([*lines, "likely: boxes look as if they were twice as large"]))
        if how == "leave":
            import atexit
            atexit.register(os._exit, 9)
        left, right = 1, 2
        assert how != "fail" or left == right
"""


def suite(folder: Path, *how: str) -> Path:
    """A suite whose pytorch format ends in these ways."""
    path = folder / "test_fake_suite.py"
    path.write_text(SUITE.replace("HOW", repr(list(how))))
    return path


def found(folder: Path, *how: str, **options: Any) -> ConformanceRun:
    """A run over that suite, done."""
    args = ConformanceArguments(**{"format": ["pytorch"], **options})
    job = ConformanceRun(args, target=[str(suite(folder, *how))])
    assert job.report
    return job


def test_what_the_tests_of_a_format_made_goes_before_the_next_format_begins(tmp_path: Path) -> None:
    args = ConformanceArguments(format=["onnx", "pytorch"], report=str(tmp_path / "out"))
    with closing(iter(ConformanceRun(args, target=[str(suite(tmp_path))]))) as backends:
        onnx = next(backends)
        for _ in onnx:
            assert onnx.files.is_dir()
        next(backends)
        assert not onnx.files.exists()
        list(backends)
    report = read_report(tmp_path / "out" / "report.json")
    pictures = [tmp_path / "out" / each.path for row in report.backends[0].rows for each in row.pictures]
    assert pictures
    assert all(path.is_file() for path in pictures)


def test_every_test_is_a_row_with_what_it_noted(tmp_path: Path) -> None:
    report = found(tmp_path, format=["onnx"], report=str(tmp_path / "out")).report
    (backend,) = report.backends
    assert (backend.state, backend.problem, report.passes()) == ("passed", "", True)
    rows = {row.case or row.test: row for row in backend.rows}
    assert [row.stage for row in backend.rows] == ["declare", *["raw"] * 4, "speed"]
    assert rows["fp16"].precision == "fp16"
    assert rows["fp16"].figures[0].bound == "<= 0.005 px"
    assert (rows["int8"].outcome, rows["int8"].kind) == (Outcome.GAP, "needs-hardware")
    assert rows["int8"].reason == "int8: it needs eight-bit units"
    assert (rows["absent"].outcome, rows["absent"].reason) == (Outcome.SKIPPED, "there is no such file")
    (image,) = rows["fp32"].pictures
    assert (tmp_path / "out" / image.path).read_bytes() == b"picture"
    assert read_report(tmp_path / "out" / "report.json") == report


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "SIGSEGV; it was in {folder}/test_fake_suite.py, line 46 in test_end; it printed: corrupt heap"),
        ("exit", "the test ended its process: exit code 0"),
        ("killed", "it was killed (SIGKILL), as a system does that runs out of memory"),
        ("fail", "or 1 == 2"),
    ],
)
def test_what_ends_its_process_is_one_red_row_and_the_others_go_on(tmp_path: Path, how: str, words: str) -> None:
    (backend,) = found(tmp_path, how, "pass").report.backends
    outcomes = {row.case: row.outcome for row in backend.rows if row.test == "end"}
    assert outcomes == {how: Outcome.FAILED, "pass": Outcome.PASSED}
    assert backend.counts() == {Outcome.PASSED: 5, Outcome.FAILED: 1, Outcome.GAP: 1, Outcome.SKIPPED: 1}
    (failed,) = backend.failed()
    assert words.format(folder=tmp_path.name) in failed.message
    assert "called from" not in failed.message  # by pytest, that is
    assert (failed.stage, backend.state) == ("contract", "failed")


def test_a_test_that_hangs_is_ended_and_has_failed(tmp_path: Path) -> None:
    (backend,) = found(tmp_path, "hang", "pass", timeout=3, stage=["contract"]).report.backends
    assert [row.outcome for row in backend.rows] == [Outcome.FAILED, Outcome.PASSED]
    message = "no end after 3 s (option timeout), so its process was ended; it was in {}/test_fake_suite.py, line 56 in"
    assert message.format(tmp_path.name) in backend.rows[0].message


def test_what_one_process_said_is_not_told_of_another(tmp_path: Path) -> None:
    (backend,) = found(tmp_path, "segfault", "exit", stage=["contract"]).report.backends
    assert [row.case for row in backend.failed()] == ["segfault", "exit"]
    assert backend.rows[1].message == "the test ended its process: exit code 0"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_that_is_ended_leaves_no_process_and_no_folder_behind(tmp_path: Path, how: signal.Signals) -> None:
    code = (
        "import sys; from segkit.cli import main; from segkit.conformance import runner;"
        "runner.TARGET = (sys.argv.pop(),);"
        "sys.argv += ['conformance', 'format=pytorch', 'stage=contract', 'report=out/here'];"
        "sys.exit(main())"
    )
    command = [sys.executable, "-P", "-c", code, str(suite(tmp_path, "hang"))]
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"SEGKIT_TEST_PID": str(tmp_path / "pid"), "TMPDIR": str(tmp_path / "tmp")}
    # A file, not a pipe: whoever is left behind would hold a pipe open.
    with (tmp_path / "said").open("w") as said:
        parent = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said, env=environment)
    pid = int(eventually(lambda: (tmp_path / "pid").read_text(), "the test does not begin"))
    parent.send_signal(how)
    code_of = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert parent.wait(30) == code_of[how], (tmp_path / "said").read_text()
    eventually(lambda: not Path(f"/proc/{pid}/cmdline").exists(), "the child is still there")
    assert not (tmp_path / "out").exists()
    if how is not signal.SIGKILL:  # which nobody can hear
        assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_the_folder_goes_as_a_whole_also_where_a_signal_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    heard, remove = [], shutil.rmtree

    def interrupted(*args: Any, **options: Any) -> None:
        signal.raise_signal(how)
        remove(*args, **options)

    def end(number: int, frame: object) -> None:
        heard.append(list(tmp_path.iterdir()))
        raise SystemExit(number)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    before = signal.signal(how, end)
    try:
        with pytest.raises(SystemExit), temporary_folder("segkit-conformance-") as folder:
            (folder / "file").touch()
    finally:
        signal.signal(how, before)
    assert heard == [[]]


def test_what_is_written_while_the_folder_goes_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late, remove = [], shutil.rmtree

    def outrun(path: Path, **options: Any) -> None:
        remove(path, **options)
        if not late:
            late.append(path)
            path.mkdir()

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "rmtree", outrun)
    with temporary_folder("segkit-conformance-") as folder:
        assert folder.parent == tmp_path
    assert late
    assert not list(tmp_path.iterdir())


def eventually(found: Callable[[], T], otherwise: str) -> T:
    """What `found` gives once it gives something."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            if value := found():
                return value
        time.sleep(0.1)
    pytest.fail(otherwise)


def test_a_process_that_crashes_after_its_tests_is_a_problem(tmp_path: Path) -> None:
    (backend,) = found(tmp_path, "leave").report.backends
    assert not backend.failed()
    assert backend.state == "failed"
    assert backend.problem.startswith("after the last test, pytest's process ended: exit code 9")


def test_after_many_deaths_the_others_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "DEATHS", 2)
    (backend,) = found(tmp_path, "exit", "segfault", "pass", stage=["contract"]).report.backends
    assert [row.case for row in backend.rows] == ["exit", "segfault"]
    assert backend.problem == "2 tests ended their process; the others were not tried"


def test_a_suite_that_cannot_be_collected_is_a_problem_with_its_words(tmp_path: Path) -> None:
    broken = tmp_path / "test_broken.py"
    broken.write_text("import nothing_of_that_name")
    job = ConformanceRun(ConformanceArguments(format=["onnx"]), target=[str(broken)])
    problem = "pytest could not run the tests (exit code 2); it printed: E   ModuleNotFoundError: No module named"
    assert job.report.backends[0].problem.startswith(problem)


def test_a_full_disk_is_no_fault_of_a_backend(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the disk is full, and so nothing can be tested; set TMPDIR to a folder"):
        found(tmp_path, "full", "pass", stage=["contract"])


def test_stages_and_precisions_choose(tmp_path: Path) -> None:
    (backend,) = found(tmp_path, "pass", stage=["raw", "speed"], precision=["fp16"]).report.backends
    assert [row.case or row.test for row in backend.rows] == ["fp16", "absent", "speed"]


def test_a_broken_plugin_is_a_red_row(tmp_path: Path, lame: Registry) -> None:
    registry = lame
    report = ConformanceRun(ConformanceArguments(), registry=registry).report
    (backend,) = report.backends
    assert (backend.state, report.passes()) == ("failed", False)
    assert "cannot be imported" in backend.problem


def test_a_broken_plugin_that_was_named_is_nothing_to_test(lame: Registry) -> None:
    with pytest.raises(InputError, match=r"Plugin 'lame' .* cannot be imported"):
        ConformanceRun(ConformanceArguments(format=["lame"]), registry=lame)


@pytest.fixture
def lame() -> Registry:
    """A format whose plugin is not even a module."""
    registry = Registry()
    registry.register("lame", "no_module_of_that_name")
    return registry


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A format that does without torch, on a machine without it."""
    monkeypatch.setattr(candidates, "has_torch", lambda: False)
    registry = Registry()
    registry.register("blob", "fake_formats")
    return registry


@pytest.mark.parametrize("stage", [None, ["declare", "raw"], ["speed"]], ids=str)
def test_without_torch_nothing_is_compared_and_nothing_passes(no_torch: Registry, stage: list[str] | None) -> None:
    report = ConformanceRun(ConformanceArguments(stage=stage), registry=no_torch).report
    (backend,) = report.backends
    assert (backend.summary(), backend.rows, report.passes()) == ("not tested: needs torch", (), False)
    assert "`blob` | ⬜ not tested: needs torch" in markdown_of(report)


def test_a_declaration_is_checked_without_torch(no_torch: Registry) -> None:
    assert [each.missing for each in candidates_of(no_torch, ["blob"], ["declare"])] == [()]
    with pytest.raises(MissingDependencyError, match="Testing blob needs torch"):
        candidates_of(no_torch, ["blob"], ["raw"])


def test_torch_is_named_once_and_as_the_format_names_it(no_torch: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = no_torch.get("blob")
    needs = (Requirement("torch>=99.1"), Requirement("torchvision-of-nobody"))
    monkeypatch.setattr(backend, "format", replace(backend.format, requires=needs), raising=False)
    monkeypatch.setattr(Requirement, "found", lambda need: None)
    (candidate,) = candidates_of(no_torch)
    assert candidate.missing == ("torch>=99.1", "torchvision-of-nobody")


# -- the command


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; the command runs the tiny suite."""
    monkeypatch.setattr(runner, "TARGET", (str(suite(tmp_path, "fail")),))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["conformance", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_the_command_shows_the_matrix_and_writes_the_report(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--format", "onnx", "--format", "pytorch", "--report", "out/")
    assert code == 1
    assert "failed: contract: end [fail]" in err
    assert "pytorch contract: end [fail]: AssertionError" in out
    assert "needs hardware" in out
    assert "1 of 2 formats pass" in out
    assert {path.name for path in Path("out").iterdir()} == {
        *("report.json", "junit.xml", "report.md", "index.html", "pictures", "pytorch.log")
    }
    suites = ElementTree.parse("out/junit.xml").getroot().findall("testsuite")
    assert {suite.get("name"): suite.get("failures") for suite in suites} == {"onnx": "0", "pytorch": "1"}


def test_a_terminal_gets_a_column_for_each_stage_where_they_fit(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, "format=pytorch")
    assert "format    precision   declare   raw              contract     speed" in out
    assert "pytorch   all         1/1 " in out


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_a_whole_run_is_a_table_on_every_usual_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [
        Row("x", "torchscript", stage, precision, "t", "", Outcome.GAP, kind="unsupported-by-runtime", feature="int8")
        for stage in STAGES
        for precision in ("", *PRECISIONS)
    ]
    backend = BackendReport(Candidate("torchscript", "TorchScript"), tuple(rows))
    _show(Report((backend,)), Output())
    table = capsys.readouterr().out.partition("Declared gaps")[0].strip("\n").splitlines()
    assert max(map(len, table)) <= columns
    assert table[0].startswith("format")
    words = {"format", "stage", "all", "fp", "int", "torchscript", "unsupported", "by", "runtime", *STAGES}
    assert {*re.findall("[a-z]+", "\n".join(table))} == words  # none is cut


def test_a_very_narrow_terminal_gets_a_list(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = run(capsys, "format=pytorch")
    assert "pytorch, fp32\n  raw: 1/1, 0.002 px" in out
    assert "  contract: failed 0/1" in out
    assert max(map(len, out.partition("Failed")[0].splitlines())) <= 40


def test_figures_beyond_their_limits_and_what_explains_them_are_told_everywhere(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite(desk, "wrong")
    _, out, _ = run(capsys, "format=pytorch", "stage=contract", "report=out")
    for text in (out, Path("out/report.md").read_text(encoding="utf-8")):
        assert "mine is too far from PyTorch (limit 80 dB):" in text
        assert "! boxes: max 58\n" in text
        assert "likely: boxes look as if they were twice as large" in text
        assert "scores: max 0" not in text


def test_both_grammars_and_json(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "format=onnx", "stage=declare,speed", "--json")
    document = json.loads(out)
    assert (code, document["passed"], document["report"]) == (0, True, None)
    assert document["asked"] == {"format": ["onnx"], "stage": ["declare", "speed"]}
    assert [test["stage"] for test in document["backends"][0]["tests"]] == ["declare", "speed"]


@pytest.mark.parametrize(("fail_on", "code"), [("gap", 1), ("broken", 0)])
def test_gaps_fail_a_run_where_that_is_asked_for(
    desk: Path, capsys: pytest.CaptureFixture[str], fail_on: str, code: int
) -> None:
    status, out, _ = run(capsys, "format=onnx", "stage=raw", f"fail_on={fail_on}")
    assert status == code
    assert ("The run fails because of 1 test at declared gaps: fail_on=gap." in out) == bool(code)


def test_what_cannot_be_run_here_is_told_with_its_reason(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = suite(desk, "pass")
    path.write_text(path.read_text().replace("declared gap 'int8'", "declared gap 'predict'"))
    code, out, err = run(capsys, "format=onnx,pytorch", "stage=declare,raw", "report=out")
    assert code == 0
    assert "Could not be run here\n  onnx: needs hardware: it needs eight-bit units" in out
    assert re.search(r"0 of 2 formats pass in \d+ s; could not be run here: onnx \(needs hardware\), pytorch", out)
    assert "not run: 3 passed, 0 failed, 1 declared gap, 1 skipped" in err
    assert {backend.state for backend in read_report("out/report.json").backends} == {"not run"}


def test_a_run_without_any_test_does_not_pass(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "format=onnx", "stage=dataset")
    assert code == 1
    assert "not tested: the suite has no such test" in out
    assert "Nothing was tested." in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["format=onx"], "Unknown format 'onx'. Did you mean 'onnx'?"),
        (["stage=rae"], "Option stage='rae' is not usable: choose from declare, export"),
        (["precision=fp64"], "choose from fp32, fp16, int8; the nearest is 'fp16'."),
        (["fail_on=never"], "fail_on"),
        (["model=absent.pt"], "absent.pt"),
        (["timeout=0"], "timeout"),
        (["report=file.txt"], "Cannot write 'file.txt'"),
        (["report=file.txt/out"], "Cannot write 'file.txt/out'"),
        (["report=taken"], "Cannot write 'taken/report.json': it is a folder"),
        *(([f"{name}="], f"{name}='' is not usable") for name in ("model", "data", "report", "format", "stage")),
        (["data=absent.yaml"], "Option data needs model=FILE: labelled pictures go with weights of the same classes"),
        (["speed"], "speed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line(
    desk: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    Path("file.txt").touch()
    Path("taken", "report.json").mkdir(parents=True)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "full", "/there/segkit-1"), "Cannot write '/there': the disk is full."),
        (FileNotFoundError(errno.ENOENT, "no usable one"), "the temporary folder (TMPDIR)': no usable one."),
    ],
    ids=["full", "none"],
)
def test_without_a_temporary_folder_nothing_runs(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    def refuse(**options: Any) -> None:
        raise error

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    code, out, err = run(capsys, "format=onnx")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert words in line


def test_without_pytest_the_extra_is_named(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    code, _, err = run(capsys)
    assert code == 2
    assert 'pip install "segkit[conformance]"' in err


# -- the options of pytest


def pytested(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Pytest as anybody runs it, with segkit's plugin."""
    known = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment
    command = [sys.executable, "-P", "-m", "pytest", "-p", pytest_plugin.__name__, "-W", "error", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=known, check=False)


def test_an_author_chooses_stages_and_gets_a_report(tmp_path: Path) -> None:
    text = suite(tmp_path, "fail").read_text()
    (tmp_path / "test_fake_suite.py").write_text(text + "\n\ndef test_own():\n    pass\n")
    done = pytested(tmp_path, "--segkit-stage", "contract", "--segkit-report", "found/here.json")
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert "conformance report: found/here.json" in done.stdout
    report = read_report(tmp_path / "found" / "here.json")
    assert [backend.candidate.name for backend in report.backends] == ["pytorch"]
    assert report.backends[0].candidate.runtime
    assert [(row.case, row.outcome) for row in report.rows()] == [("fail", Outcome.FAILED)]
    assert not list((tmp_path / "found").glob("*.partial"))


def test_pictures_of_an_earlier_report_of_pytest_go(tmp_path: Path) -> None:
    suite(tmp_path, "pass")
    pytested(tmp_path, "--segkit-format", "onnx", "--segkit-report", "report.json")
    assert len(list((tmp_path / "report-pictures").iterdir())) == 2
    (tmp_path / "report-pictures" / "mine.png").touch()
    pytested(tmp_path, "--segkit-format", "onnx", "--segkit-stage", "declare", "--segkit-report", "report.json")
    assert [path.name for path in (tmp_path / "report-pictures").iterdir()] == ["mine.png"]


def test_tests_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("import sys\n\ndef test_own():\n    assert 'numpy' not in sys.modules\n")
    done = pytested(tmp_path, "--strict-markers", "--strict-config")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--segkit-format", "onx"], "ERROR: Unknown format 'onx'. Did you mean 'onnx'?"),
        (["--segkit-stage", "rae"], "Option stage='rae' is not usable"),
        (["--segkit-model", "absent.pt"], "Cannot load model 'absent.pt': no such file or folder."),
        (["--segkit-model", "folder"], "Cannot load model 'folder': it is a folder, not a checkpoint."),
        (["--segkit-data", "a.yaml"], "Option --segkit-data needs --segkit-model FILE: labelled pictures go with"),
        (
            ["--segkit-report", "folder"],
            "--segkit-report: 'folder' is a folder; give a file in it, e.g. folder/report.json",
        ),
        *(
            ([f"--segkit-{name}="], f"Option --segkit-{name}='' is not usable: it is empty.")
            for name in ("format", "stage", "precision", "model", "data", "report")
        ),
    ],
)
def test_a_slip_is_a_usage_error(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    done = pytested(tmp_path, *words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, done.stderr.splitlines())
    assert said in line


def test_a_report_that_cannot_be_written_leaves_the_tests_their_results(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("from pathlib import Path\ndef test_own():\n    Path('found.json').mkdir()\n")
    done = pytested(tmp_path, "--segkit-report", "found.json")
    assert "conformance report: Cannot write 'found.json': it is a folder.\n" in done.stdout
    assert "1 passed" in done.stdout
    assert (done.returncode, done.stderr) == (pytest.ExitCode.USAGE_ERROR, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_is_only_kept_for_a_process_that_dies_may_be_lost(tmp_path: Path) -> None:
    suite(tmp_path, "pass")
    (tmp_path / "found.json.partial").symlink_to("/dev/full")
    done = pytested(tmp_path, "--segkit-format", "onnx", "--segkit-stage", "speed", "--segkit-report", "found.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.outcome for row in read_report(tmp_path / "found.json").rows()] == [Outcome.PASSED]


@pytest.mark.parametrize(("child", "words"), [(None, "--segkit-model FILE"), (True, "model=FILE")])
def test_what_to_give_is_told_in_the_words_of_who_reads(child: bool | None, words: str) -> None:
    class Config:
        @staticmethod
        def getoption(name: str, default: Any) -> Any:
            return child if name == "--segkit-child" else default

    assert Settings.of(Config).option("model", "FILE") == words


def test_pyargs_collects_a_class_for_each_format(tmp_path: Path) -> None:
    words = ("--pyargs", "segkit.conformance", "--collect-only", "-q", "--import-mode=importlib")
    chosen = pytested(tmp_path, *words, "--segkit-format", "onnx").stdout
    assert "::Test_onnx::" in chosen
    assert "::Test_pytorch::" not in chosen
    assert "::Test_pytorch::" in pytested(tmp_path, *words).stdout


def test_the_plugin_is_an_entry_point_that_imports_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pytest; before = {*sys.modules}; import segkit.conformance.pytest_plugin;"
        "print(sorted(name for name in {*sys.modules} - before if name.startswith(('segkit', 'numpy', 'pydantic'))))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        [
            *("segkit", "segkit.conformance", "segkit.conformance.pytest_plugin", "segkit.conformance.stage"),
            *("segkit.core", "segkit.core.errors"),
        ]
    )


def test_pytest_may_be_started_by_a_process_that_uses_segkit(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    code = "import sys, segkit, pytest; sys.exit(pytest.main(['-q', '-W', 'error', '-p', 'segkit.conformance']))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for module in ("segkit", "segkit.conformance"):
        assert "PYTEST_DONT_REWRITE" in (sys.modules[module].__doc__ or "")


def test_the_words_of_the_suite_for_a_gap_are_understood() -> None:
    for entry in default_registry().all():
        assert entry.backend
        fmt = entry.backend.format
        if gap := fmt.support.gap(Feature.INT8):
            with pytest.raises(pytest.xfail.Exception) as told:
                need(fmt, Feature.INT8)
            found = GAP.fullmatch(str(told.value))
            assert found
            assert (found["kind"], found["reason"]) == (gap.kind, gap.reason)


# -- where it runs


def lines_of(text: str) -> list[str]:
    """Command lines of `segkit conformance` in a text."""
    return re.findall(r"^.*?(segkit conformance(?: [^#`\n]*)?)(?:  #.*)?$", text, re.MULTILINE)


def test_commands_in_the_docs_and_workflows_are_accepted() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "conformance.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    shell = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    found = [line for text in (*steps, *shell) for line in lines_of(text)]
    assert len(found) >= 5
    for line in found:
        given = dict(word.split("=", 1) for word in shlex.split(line)[2:])
        validate(ConformanceArguments, given, "conformance")


def test_the_docs_name_every_option_and_every_field() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert [name for name in ConformanceArguments.model_fields if f"`{name}`" not in page] == []
    plain = {"schema", "backends", "tests", "figures", "pictures", "outcome", "passed", "asked", "missing", "fault"}
    assert [name for name in plain if not re.search(rf"`(\w+\[\]\.)?{name}`", page)] == []


@pytest.mark.slow
def test_a_stage_of_the_real_suite_passes(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "segkit.cli", "conformance", "format=onnx", "stage=declare", "report=out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = read_report(tmp_path / "out" / "report.json")
    assert {row.stage for row in report.rows()} == {"declare"}
