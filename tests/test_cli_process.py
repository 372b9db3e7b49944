"""The command line as a process of its own: what it imports, pipes, encodings, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAKES = Path(__file__).parent / "fakes"
RUNTIMES = {"torch", "onnx", "onnxruntime", "pandas"}
HEAVY = RUNTIMES | {"numpy", "cv2", "PIL"}


def segkit(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process with these variables; its output is read as UTF-8."""
    return subprocess.run(
        [sys.executable, "-m", "segkit.cli", *argv],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


def imported(*argv: str) -> set[str]:
    """Top-level modules that are loaded after a command line has run."""
    code = (
        "import sys, io; from segkit.cli import main; out = sys.stdout; sys.stdout = io.StringIO();"
        f"main({list(argv)!r}); print(*{{name.partition('.')[0] for name in sys.modules}}, file=out)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("argv", [[], ["--help"], ["--version"], ["info", "--help"], ["version", "--help"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    assert imported(*argv) & HEAVY == set()


@pytest.mark.parametrize("argv", [["formats"], ["version"], ["predict", "--help"], ["export", "--help"]])
def test_what_reads_the_declarations_imports_no_runtime(argv: list[str]) -> None:
    assert imported(*argv) & RUNTIMES == set()


def test_a_mistake_exits_with_2_and_one_line() -> None:
    done = segkit("predcit")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("argv", [["formats"], ["--help"], ["version"]])
def test_a_reader_that_stops_reading_is_no_reason_to_complain(argv: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "segkit.cli", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("argv", [["formats"], ["formats", "--json"], ["--version"]])
def test_a_full_disk_under_the_output_is_one_line(argv: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "segkit.cli", *argv], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "Error: Cannot write 'standard output': the disk is full.\n")


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize(("line", "code"), [("predcit 2>&-", 2), ("formats >&-", 0), ("--version >&- 2>&-", 0)])
def test_closed_streams_change_nothing(line: str, code: int) -> None:
    done = subprocess.run(
        f"{sys.executable} -m segkit.cli {line}", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(
    ("argv", "encoding"), [(["predict", "--help"], "ascii"), (["formats"], "ascii"), (["--help"], "cp1252")]
)
def test_any_terminal_encoding_will_do(argv: list[str], encoding: str) -> None:
    done = segkit(*argv, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(environment: dict[str, str], coloured: bool) -> None:
    keep = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "segkit.cli", "predcit"], stderr=theirs, env=keep | {"TERM": "xterm"} | environment
    ) as process:
        process.wait(60)
    text = os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert (b"\x1b[" in text) is coloured
    assert b"Unknown command" in text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_sees_every_line_above_the_counter(tmp_path: Path) -> None:
    code = (
        f"import sys, json; sys.path.insert(0, {str(FAKES)!r})\n"
        "from pathlib import Path; import cv2, numpy\n"
        "from segkit.core.backend.registry import default_registry\n"
        "default_registry().register('blob', 'fake_formats')\n"
        "Path('m_blob_model').mkdir(); Path('m_blob_model/meta.json').write_text(json.dumps({'imgsz': [64, 64]}))\n"
        "for name in 'abc': cv2.imwrite(name + '.png', numpy.zeros((9, 9, 3), 'uint8'))\n"
        "Path('bad.png').write_text('no picture')\n"
        "from segkit.cli import main\n"
        "sys.exit(main(['predict', 'm_blob_model', 'a.png', 'b.png', 'bad.png', 'c.png', '--no-save']))"
    )
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment
    ) as process:
        os.close(theirs)
        text = b"".join(iter(lambda: read_terminal(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0, text
    lines = [line.rpartition("\x1b[2K")[2].strip() for line in text.splitlines()]
    assert [line[0] for line in lines if line[1:6] == ".png "] == ["a", "b", "c"]
    assert any(line.startswith("skipped: Cannot read 'bad.png'") for line in lines)
    assert "3 pictures" in text


def read_terminal(descriptor: int) -> bytes:
    """The next bytes; none at the end, which Linux reports as an error."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT between processes")
def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    code = (
        "import sys, time; from segkit.cli import app, main\n"
        "def wait(values, output): print('ready', flush=True); time.sleep(60)\n"
        "from segkit.cli import version; version.run = wait\n"
        "sys.exit(main(['version']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "Error: interrupted.\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT between processes")
@pytest.mark.parametrize("whole_group", [True, False], ids=["as a terminal sends it", "to segkit alone"])
def test_ctrl_c_during_an_export_leaves_nothing(tmp_path: Path, whole_group: bool) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
        "from segkit.core.backend.registry import default_registry\n"
        "default_registry().register('blob', 'fake_formats')\n"
        "from segkit.cli import main\n"
        "sys.exit(main(['export', 'yolov8n-seg.yaml', 'format=blob', 'sleep=50']))"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(FAKES)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == "dawdling\n":
                break
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "Error: interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_completion_offers_commands_and_options() -> None:
    offered = segkit(
        _SEGKIT_COMPLETE="complete_bash", COMP_WORDS="segkit predict --max", COMP_CWORD="2", _TYPER_COMPLETE_ARGS="x"
    )
    assert offered.stdout.split() == ["--max-det"]
    offered = segkit(_SEGKIT_COMPLETE="complete_bash", COMP_WORDS="segkit for", COMP_CWORD="1")
    assert offered.stdout.split() == ["formats"]


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="no such signals")
def test_an_interrupt_while_modules_are_imported_is_one_line() -> None:
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'segkit.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from segkit.cli import main\n"
        "sys.exit(main(['version']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Error: interrupted.\n")


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_stop_takes_its_temporary_folders_along(number: int, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, tempfile\n"
        "from segkit.cli import app, main\n"
        "def run(argv):\n"
        "    with tempfile.TemporaryDirectory(prefix='segkit-export-'):\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        signal.pause()\n"
        "app.run = run\n"
        "sys.exit(main())"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=False)
    assert done.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []
