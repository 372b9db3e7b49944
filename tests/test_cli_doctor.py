"""`segkit doctor` as a user meets it: what works is said to work, what is broken is found and breaks nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from segkit import _doctor
from segkit._doctor import Library, checkup, examine
from segkit._environment import VARIABLES, environment, shown, unknown
from segkit._machine import _said
from segkit.cli import main
from segkit.core.backend.registry import default_registry

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("sdk", "core", "plugins", "cli", "conformance")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries are taken for working without importing each: one test below imports them for real."""
    monkeypatch.setattr(_doctor, "examine", lambda name: Library(name, metadata.version(name)))


@pytest.fixture
def broken_plugin() -> Iterator[None]:
    default_registry.cache_clear()
    default_registry().register("shattered", "a_module_that_nobody_wrote")
    yield
    default_registry.cache_clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of distributions that is on the path of child processes too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def install(place: Path, name: str, version: str, code: str) -> None:
    """A distribution `name` with one module of that name."""
    module = name.replace("-", "_")
    (place / module).mkdir(exist_ok=True)
    (place / module / "__init__.py").write_text(code)
    info = place / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(f"{module}\n")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["doctor", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_this_installation_is_examined_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json")
    found = json.loads(out)
    assert (code, found["broken"]) == (0, [])
    libraries = {library["name"]: library for library in found["libraries"]}
    assert libraries["numpy"]["version"] == metadata.version("numpy")
    opencv = next(library for name, library in libraries.items() if name.startswith("opencv"))
    assert set(opencv["facts"]) == {"video", "windows"}
    for name, fact in (("onnxruntime", "providers"), ("torch", "build")):
        assert name not in libraries or fact in libraries[name]["facts"]
    assert found["versions"]["segkit"] == metadata.version("segkit")
    assert int(found["machine"]["cores"].partition(" of ")[0]) >= 1


def test_the_page_has_every_chapter(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    for title in ("Versions", "Machine", "Libraries", "Formats", "Folders"):
        assert f"\n{title}\n" in f"\n{out}"
    assert re.search(r"^  cache +\S", out, re.MULTILINE)
    assert re.search(r"^  pytorch +export: no: it is what every export starts from", out, re.MULTILINE)


def test_doctor_itself_imports_no_runtime() -> None:
    code = (
        "import sys, io; from segkit.cli import main; out, sys.stdout = sys.stdout, io.StringIO();"
        "from segkit import _doctor; _doctor.examine = lambda name: _doctor.Library(name, '1');"
        "main(['doctor']);"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'pandas'} & set(sys.modules)), file=out)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise ImportError('libmagic.so.7: cannot open shared object file')", "libmagic.so.7: cannot open"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("import os; os._exit(3)", "code 3"),
        ("import sys; sys.exit('no licence')", "no licence"),
    ],
)
def test_a_library_that_cannot_be_imported_is_told_with_its_reason(code: str, problem: str, place: Path) -> None:
    install(place, "frail-thing", "1.2", code)
    found = examine("frail-thing")
    assert (found.name, found.version) == ("frail-thing", "1.2")
    assert found.problem is not None
    assert problem in found.problem


def test_a_library_that_never_ends_being_imported_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(place, "sleepy", "1", "import time; time.sleep(60)")
    monkeypatch.setattr(_doctor, "SECONDS", 1)
    assert examine("sleepy").problem == "importing it takes longer than 1 s"


def test_a_library_that_talks_while_it_is_imported_is_no_trouble(place: Path) -> None:
    install(place, "chatty", "1", "print('hello'); __version__ = '1'")
    assert examine("chatty") == Library("chatty", "1")


def test_a_file_in_the_working_folder_is_not_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pluggy.py").write_text("raise RuntimeError('the wrong one')")
    assert examine("pluggy").problem is None


def test_a_broken_library_takes_its_formats_along_and_sets_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def halfway(name: str) -> Library:
        return Library(name, "1.0", "it fell over" if name == "onnxruntime" else None)

    monkeypatch.setattr(_doctor, "examine", halfway)
    code, out, _ = run(capsys)
    assert code == 1
    assert "onnxruntime 1.0: it fell over" in out
    assert "predict: no: onnxruntime does not work" in out


def test_a_broken_plugin_is_told_and_sets_the_code(
    quick: None, broken_plugin: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys)
    assert code == 1
    assert "the plugin of shattered" in out
    assert "a_module_that_nobody_wrote" in out


# -- conflicts ----------------------------------------------------------------------------------------------------


def test_two_builds_of_opencv_are_a_conflict(quick: None, place: Path) -> None:
    have = next(name for name in _doctor.OPENCV if _doctor.installed_version(name))
    other = next(name for name in _doctor.OPENCV if name != have)
    install(place, other, "9.9", "")
    assert any(have in line and other in line and "pip uninstall" in line for line in checkup().conflicts)


def test_two_builds_of_a_runtime_are_a_conflict(quick: None, place: Path) -> None:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        if not _doctor.installed_version(name):
            install(place, name, "9.9", "")
    assert any("onnxruntime and onnxruntime-gpu are the same module" in line for line in checkup().conflicts)


def test_a_runtime_that_is_too_old_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor, "examine", lambda name: Library(name, "0.0.1+cpu"))
    assert any(line.startswith("torch 0.0.1+cpu is older than segkit supports") for line in checkup().conflicts)


def test_a_card_without_a_build_for_it_is_a_conflict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Some Card (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    facts: dict[str, dict[str, str]] = {"torch": {"build": "CPU only"}}
    monkeypatch.setattr(_doctor, "examine", lambda name: Library(name, "99", facts=facts.get(name, {})))
    found = checkup()
    assert found.machine["graphics"] == "GPU 0: Some Card"
    assert any("without CUDA, and this machine has GPU 0: Some Card" in line for line in found.conflicts)


# -- the environment ----------------------------------------------------------------------------------------------


def test_the_table_of_variables_is_that_of_the_code() -> None:
    texts = [path.read_text(encoding="utf-8") for folder in SHIPPED for path in (ROOT / folder).rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"\bSEGKIT_[A-Z_]*[A-Z]\b", text)}
    assert named == set(VARIABLES)


def test_values_are_shown_without_what_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_WEIGHTS_URL", "https://me:hunter2@example.org/w?sig=abc")
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    monkeypatch.setenv("https_proxy", "http://user:p@w@proxy:3128")
    monkeypatch.setenv("http_proxy", "user:p@w@proxy:3128")
    values = environment()
    assert values["SEGKIT_WEIGHTS_URL"] == "https://***@example.org/w?***"
    assert values["https_proxy"] == "http://***@proxy:3128"
    assert values["http_proxy"] == "***@proxy:3128"
    assert values["SEGKIT_OFFLINE"] == "1"


def test_what_a_tool_says_in_another_encoding_breaks_nothing() -> None:
    assert _said([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'caf\\xe9 4')"]) == "caf\ufffd 4"


@pytest.mark.parametrize("name", ["SEGKIT_TOKEN", "SEGKIT_API_KEY", "segkit_password"])
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert shown(name, "hunter2") == "(set, not shown)"


def test_a_variable_that_nobody_reads_is_most_likely_a_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_OFLINE", "1")
    assert unknown() == ["SEGKIT_OFLINE is set, but segkit does not read it. Did you mean 'SEGKIT_OFFLINE'?"]


def test_the_document_can_be_sent_as_it_is(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json")
    found: Any = json.loads(out)
    assert code == 0
    assert set(found) == {
        *("versions", "machine", "libraries", "absent", "abilities"),
        *("folders", "environment", "broken", "conflicts", "notes"),
    }
