"""A format brings tools and commands of its own; nothing in segkit knows them by name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from segkit.cli.app import run
from segkit.core.backend import Feature, FormatCommand, Requirement, Tool, tools_folder
from segkit.core.backend import registry as registries
from segkit.core.backend.registry import Registry
from segkit.core.errors import InputError, MissingDependencyError


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """Formats of which one, blob, has a command that makes a file, and a tool that is that file."""
    there = tmp_path / "tools" / "drill"
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path / "tools"))

    def setup(report):
        if there.exists():
            raise InputError("It is there already.")
        report("drilling")
        there.parent.mkdir()
        there.write_text("7.1")
        return {"drill": "7.1", "folder": str(tools_folder())}

    made = Registry()
    for name in ("blob", "tiny"):
        made.register(name, "fake_formats")
    blob = made.get("blob")
    tool = Tool("a drill", "segkit blob setup", lambda: there.read_text() if there.exists() else None)
    changed = replace(blob.format, requires=(tool,), commands=(FormatCommand("setup", "Fetch a drill.", setup),))
    monkeypatch.setattr(blob, "format", changed, raising=False)
    monkeypatch.setattr(registries, "default_registry", lambda: made)
    return made


def test_a_command_is_run_and_shows_what_it_did(registry, capsys, tmp_path):
    assert run(["blob", "setup"]) == 0
    said = capsys.readouterr()
    assert said.err == "drilling\n"
    assert "Blob: setup" in said.out
    assert str(tmp_path / "tools") in said.out
    assert registry.get("blob").format.requires[0].found() == ("a drill", "7.1")


def test_its_answer_is_a_document_and_its_error_one_line(registry, capsys, tmp_path):
    assert run(["blob", "setup", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"drill": "7.1", "folder": str(tmp_path / "tools")}
    assert run(["blob", "setup"]) == 2
    assert capsys.readouterr().err == "Error: It is there already.\n"


@pytest.mark.parametrize("argv", [["blob"], ["blob", "--help"], ["help", "blob"]], ids=" ".join)
def test_the_help_of_a_format_lists_its_commands(registry, capsys, argv):
    run(argv)
    assert "Fetch a drill." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["blob", "stup"], "Unknown command 'stup'. Did you mean 'setup'? Known: setup."),
        (["tiny", "setup"], "Unknown command 'tiny'."),
        (["nobody", "setup"], "Unknown command 'nobody'."),
        (["blob", "setup", "size=3"], "Unknown option 'size' for blob setup."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_there_is_not_is_refused_in_one_line(registry, capsys, argv, problem):
    assert run(argv) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1


def test_a_tool_that_is_not_there_is_named_with_its_command(registry, tmp_path):
    blob, tiny = registry.get("blob").format, registry.get("tiny").format
    with pytest.raises(MissingDependencyError) as refused:
        blob.require(Feature.PREDICT)
    assert str(refused.value) == "Running a model in blob needs a drill, not installed here. Run: segkit blob setup"
    assert list(map(str, registry.missing(tiny, Feature.EXPORT))) == ["a drill"]  # which it starts from
    both = replace(blob, requires=(*blob.requires, Requirement("acme-of-nobody>=3")))
    with pytest.raises(MissingDependencyError, match='Run: pip install "acme-of-nobody>=3" && segkit blob setup'):
        both.require(Feature.EXPORT)
    run(["blob", "setup"])
    blob.require(Feature.PREDICT)


def test_the_general_help_imports_no_plugin():
    code = (
        "import sys; from segkit.cli import main; main(['--help']); print([n for n in sys.modules if 'plugins' in n])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_tools_lie_in_the_cache_unless_the_environment_says_where(monkeypatch):
    monkeypatch.setenv("SEGKIT_CACHE", "/somewhere")
    monkeypatch.setenv("SEGKIT_TOOLS", "~/tools")
    assert tools_folder() == Path.home() / "tools"
    monkeypatch.delenv("SEGKIT_TOOLS")
    assert tools_folder() == Path("/somewhere/tools")
