"""`segkit plugin new`: what it writes is a plugin that works, and it writes all of it or nothing.

The slow test follows docs/writing-a-plugin.md, command by command, in an environment of its own beside segkit's wheel.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from segkit._plugin_new import FILES, LONGEST, TEMPLATES, NewPlugin, new_plugin
from segkit.cli import main
from segkit.conformance.golden import GOLDEN
from segkit.conformance.reference import picture
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError, OutputError

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "writing-a-plugin.md"

NAMES = ["acme", "my-format", "my_format2", "x", "abcdefghi-jklmnopqr-stuvwxyz01"]
BAD = [
    *("", " ", "a b", "Acme", "1abc", "-x", "x-", "x--y", "x.y", "x/y", "../x", "ünïcode", "名", "x\n", "x\0y"),
    *("class", "match", "segkit", "segkit-acme", "x" * (LONGEST + 1)),
]


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(folder: Path) -> dict[str, str]:
    """Path → text of all that is in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_are_replaced_everywhere_and_fit(name: str) -> None:
    made = new_plugin(name)
    files = written(made.folder)
    assert set(files) == set(made.files)
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == made.distribution == f"segkit-{name.replace('_', '-')}"
    assert made.folder == Path(made.distribution)
    assert project["project"]["entry-points"]["segkit.plugins"] == {name: made.package}
    assert project["tool"]["setuptools"]["packages"] == [made.package]
    assert made.package.isidentifier()
    left = [path for path, text in files.items() if re.search("acme", path + text, re.IGNORECASE)]
    assert name == "acme" or left == []


def test_every_template_is_written_and_every_file_has_one() -> None:
    assert {f"{stem}.template" for stem in FILES.values()} == {path.name for path in TEMPLATES.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_keeps_the_rules_that_come_with_it(name: str) -> None:
    made = new_plugin(name)
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=made.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_tests_are_three_lines_that_inherit_the_suite() -> None:
    made = new_plugin("my-format")
    text = (made.folder / "tests" / "test_conformance.py").read_text(encoding="utf-8")
    assert [type(node) for node in ast.parse(text).body] == [ast.ImportFrom, ast.ClassDef]
    assert len([line for line in text.splitlines() if line.strip()]) == 3
    assert 'format = "my-format"' in text


def test_the_sources_that_it_imports_of_segkit_are_public() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    public = re.findall(r"`(segkit\.[a-z.]+)`", page.partition("## What a plugin may import")[2])
    assert len(public) > 5
    code = "\n".join(text for path, text in written(new_plugin("acme").folder).items() if path.endswith(".py"))
    used = set(re.findall(r"^ *from (segkit\.\S+) import", code, re.MULTILINE))
    modules = {"segkit.core.backend.batching", "segkit.core.model.devices", "segkit.conformance"}
    assert used <= {*public, *modules}


# -- its workflow ------------------------------------------------------------------------------------------------------


def steps() -> list[dict[str, Any]]:
    """Steps of the job that runs the suite."""
    workflow = yaml.safe_load((TEMPLATES / "workflow.template").read_text(encoding="utf-8"))
    assert set(workflow["jobs"]) == {"suite", "publish"}
    assert workflow["jobs"]["publish"]["needs"] == "suite"
    found: list[dict[str, Any]] = workflow["jobs"]["suite"]["steps"]
    return found


def test_its_workflow_installs_it_and_runs_the_suite_and_its_tests() -> None:
    lines = [step["run"] for step in steps() if step.get("shell") is None and "run" in step]
    assert [line.split()[:3] for line in lines] == [
        ["python", "-m", "pip"],
        ["segkit", "conformance", "--format"],
        ["python", "-m", "pytest"],
    ]


def badge(folder: Path, report: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the workflow's own script makes of `folder/report/report.json`, which is `report` or is there."""
    (script,) = [step["run"] for step in steps() if step.get("shell") == "python"]
    if report:
        (folder / "report").mkdir()
        (folder / "report" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    found: dict[str, Any] = json.loads((folder / "report" / "badge.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("outcomes", "message", "color"),
    [
        (["passed", "passed", "gap", "skipped"], "2 passed, 1 gap", "brightgreen"),
        (["passed", "failed"], "1 passed, 1 failed", "red"),
    ],
)
def test_its_badge_says_what_the_report_says(tmp_path: Path, outcomes: list[str], message: str, color: str) -> None:
    tests = [{"outcome": outcome} for outcome in outcomes]
    report = {"suite": "9.9", "passed": "failed" not in outcomes, "backends": [{"tests": tests}]}
    found = badge(tmp_path, report)
    assert found == {"schemaVersion": 1, "label": "segkit conformance 9.9", "message": message, "color": color}


def test_its_badge_is_red_where_there_is_no_report(tmp_path: Path) -> None:
    assert badge(tmp_path)["color"] == "red"


# -- what is refused ---------------------------------------------------------------------------------------------------


def taken() -> list[str]:
    """Names, aliases and endings of the formats that are installed."""
    formats = [entry.backend.format for entry in default_registry().all() if entry.backend]
    endings = [suffix.removeprefix(".") for each in formats for suffix in each.suffixes if suffix.count(".") == 1]
    return sorted({*(each.name for each in formats), *(alias for each in formats for alias in each.aliases), *endings})


@pytest.mark.parametrize("name", [*BAD, *taken()])
def test_a_name_that_cannot_be_one_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OptionError):
        new_plugin(name)
    if "\0" not in name:
        assert main(["plugin", "new", "--", name]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["full", "file", "file/inside", "a\0b", "x" * 300])
def test_a_place_that_cannot_be_written_is_one_line_and_stays_as_it_was(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = written(tmp_path)
    with pytest.raises(OutputError):
        new_plugin("acme", folder)
    assert main(["plugin", "new", "acme", folder]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert written(tmp_path) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert main(["plugin", "new", "acme", "locked/acme"]) == 2
    assert "permission denied" in capsys.readouterr().err


def test_a_disk_that_is_full_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = Path.write_text, iter(range(100))

    def failing(self: Path, *given: Any, **named: Any) -> int:
        if next(count) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *given, **named)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(OutputError, match="the disk is full"):
        new_plugin("acme", "deep/er")
    assert list(tmp_path.iterdir()) == []


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_lists_what_it_wrote_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", "acme", "my plugins/acme"]) == 0
    said = capsys.readouterr().out
    assert "cd 'my plugins/acme'" in said
    assert set(written(Path("my plugins/acme"))) <= set(said.split())


def test_in_json_it_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", "name=my-format", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == {
        "folder": "segkit-my-format",
        "format": "my-format",
        "distribution": "segkit-my-format",
        "package": "segkit_my_format",
        "files": list(new_plugin("my-format", "other").files),
    }


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made = new_plugin("acme", tmp_path / "empty")
    assert isinstance(made, NewPlugin)
    assert set(written(tmp_path / "empty")) == set(made.files)


@pytest.mark.parametrize("words", [["plugin"], ["plugin", "--help"], ["plugin", "new", "--help"]])
def test_its_help_names_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(words)
    assert "new" in capsys.readouterr().out


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with segkit's wheel, which sees the other packages of this one."""
    target = tmp_path_factory.mktemp("environment")
    wheels = [
        str(wheel)
        for folder in filter(None, [os.environ.get("SEGKIT_TEST_DIST")])
        for wheel in Path(folder).glob("*.whl")
    ]
    run([str(ROOT / ".ci" / "installed"), sys.prefix, str(target), *wheels], ROOT)
    return target / "bin" / "python"


def run(command: list[str], folder: Path) -> str:
    """Output of a command that must succeed, run as a stranger would: without this project's data."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SEGKIT_TEST_", "SEGKIT_REQUIRE_"))
    }
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment | {"SEGKIT_OFFLINE": "1"}, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who does what the page says, in a folder with weights and a picture."""

    def __init__(self, python: Path, folder: Path) -> None:
        """Nothing but `python` is called, so that no other environment gets into it."""
        self.here, self.said = folder, ""
        start = [str(python), "-P", "-m"]
        self.programs = {
            "segkit": [*start, "segkit.cli"],
            "pytest": [*start, "pytest"],
            # No network, and nothing to fetch: what the plugin needs is there.
            "pip": [*start, "pip", "--disable-pip-version-check"],
            "rm": ["rm"],
        }

    def do(self, line: str) -> None:
        """One line of a shell."""
        name, *words = shlex.split(line, comments=True)
        if name == "cd":
            self.here /= words[0]
            return
        if name == "pip":
            words += ["--quiet", "--no-index", "--no-build-isolation"]
        self.said += run([*self.programs[name], *words], self.here)

    def edit(self, change: str) -> None:
        """Lines with - are replaced by those with + in the file that --- names."""
        name, *lines = change.splitlines()
        file = self.here / name.removeprefix("--- ")
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] == sign) for sign in "-+")
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        file.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, code: str) -> None:
        """A file whose name is in its first line."""
        name, _, text = code.partition("\n")
        (self.here / name.removeprefix("# ")).write_text(text, encoding="utf-8")


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_every_command_of_the_page_runs_and_ends_green(tmp_path: Path, python: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / "yolov8n-seg.pt")
    cv2.imwrite(str(tmp_path / "bus.jpg"), picture((320, 320), 0))
    reader = Reader(python, tmp_path)
    for language, text in blocks(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            for line in text.splitlines():
                reader.do(line)
        else:
            {"diff": reader.edit, "python": reader.write}[language](text)
    assert (tmp_path / "yolov8n-seg.acme").is_file()
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["passed"]
    assert [backend["name"] for backend in report["backends"]] == ["acme"]
    assert badge(tmp_path)["label"] == f"segkit conformance {report['suite']}"
    assert re.fullmatch(r"[1-9]\d* passed, [1-9]\d* gap", badge(tmp_path)["message"])
    assert "Acme" in reader.said
    assert not list((tmp_path / "segkit-acme").glob("report*"))
