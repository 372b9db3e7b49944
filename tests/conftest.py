"""What every test shares: the real files, the threads a worker may use, and the closing account of what was skipped.

Real files are looked for in `SEGKIT_TEST_DATA`, else in `../shared/data` beside the repository. A test that needs one
asks for a fixture below; where it is absent the test is skipped with that reason, or fails if `SEGKIT_REQUIRE_DATA=1`.
So it is with tools that pip does not bring; what formats fetch is kept in `SEGKIT_TOOLS`, else in the environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from file_server import FileServer
from hypothesis import HealthCheck, settings

pytest_plugins = ["segkit.conformance"]  # shows the values inside the asserts of inherited tests

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SEGKIT_TEST_DATA") or ROOT.parent / "shared" / "data").resolve()
REFERENCE = Path(os.environ.get("SEGKIT_TEST_REFERENCE") or DATA.parent / "reference").resolve()
BUILT_IN = Path(__file__).with_name("test_conformance_formats.py")
REAL_FILES = {"data", "reference"}
"""The fixtures that all other real-file fixtures come from."""

# Time is not judged anywhere: a busy machine must not fail a property. On CI the examples are the same in every run, so
# that a red run means a change; elsewhere every run looks at new ones.
settings.register_profile(
    "segkit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("segkit")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores. Torch and the BLAS libraries read this when first imported, here and in child processes.
    share = (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(share, 1)))

# A job that a shell starts in the background ignores Ctrl-C, and so does everything below it. What is tested here are
# programs that somebody started in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def real(path: Path, variable: str) -> Path:
    """`path`, or the end of the test that needs it: skipped, or failed where the files must be there."""
    if not path.exists():
        absent(f"the real file or folder '{path.name}' is absent: set {variable}")
    return path


def absent(reason: str) -> NoReturn:
    """The end of a test that needs what is not here: skipped, or failed where it must be here."""
    if os.environ.get("SEGKIT_REQUIRE_DATA") == "1":
        pytest.fail(f"{reason} (SEGKIT_REQUIRE_DATA=1 asks for it)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test reads or fetches ends up in the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SEGKIT_TOOLS", os.environ.get("SEGKIT_TOOLS") or str(Path(sys.prefix) / "segkit-tools"))
        yield


@pytest.fixture(scope="session")
def tensorflow_js(_cache_of_the_tests: None) -> None:
    """TensorFlow.js for Node.js, fetched by the command that users are told to run; once for all runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        absent("Node.js with npm is absent")
    command = [sys.executable, "-m", "segkit.cli", "tfjs", "setup"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        absent(f"TensorFlow.js cannot be fetched: {done.stderr.strip()}")


@pytest.fixture
def server() -> Iterator[FileServer]:
    """An HTTP server of this machine that sends what a test lays down in it."""
    with FileServer() as server:
        yield server


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real checkpoints, pictures and data sets."""
    return real(DATA, "SEGKIT_TEST_DATA")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference numbers."""
    return real(REFERENCE, "SEGKIT_TEST_REFERENCE")


@pytest.fixture(scope="session")
def n_seg_pt(data: Path) -> Path:
    """Trained weights of the n scale."""
    return real(data / "checkpoints" / "yolov8n-seg.pt", "SEGKIT_TEST_DATA")


@pytest.fixture(scope="session")
def bus(data: Path) -> Path:
    """A street with a bus and four people."""
    return real(data / "images" / "bus.jpg", "SEGKIT_TEST_DATA")


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js."""
    return shutil.which("node") or absent("the program 'node' is not installed")


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser."""
    return shutil.which("chromium") or pytest.skip("the program 'chromium' is not installed")


@pytest.fixture(scope="module")
def translated_once() -> Iterator[None]:
    """ONNX exports in this process share torch's translation of equal networks. It takes ten seconds, and is the same
    whatever comes behind it: simplification, precision, selection, metadata.
    """
    from segkit.plugins.onnx import exporter

    capture, translate = exporter.capture, exporter._translate
    programs: dict[str, Any] = {}
    models: dict[tuple[int, int], Any] = {}

    def captured(model: Path, **options: Any) -> Any:
        options["head"] = options["head"].model_copy(update={"nms": False})  # as capture itself does
        key = f"{model} {model.stat().st_mtime_ns} {options}"
        if key not in programs:
            programs[key] = capture(model, **options)
        return programs[key]

    def translated(program: Any, opset: int) -> Any:
        key = id(program), opset
        if key not in models:
            models[key] = translate(program, opset).SerializeToString()
        return exporter.ModelProto.FromString(models[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "capture", captured)
        patch.setattr(exporter, "_translate", translated)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test that asks for real files, so that `-m "not data"` leaves them out.

    What the suite says of its own model is left to `segkit conformance`, which gives each format a process: CI runs it,
    and in the workers of these tests it would take the same minutes again, and gigabytes for the largest networks.
    """
    for item in items:
        if REAL_FILES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.data)
    left = [item for item in items if item.path == BUILT_IN and not of_real_files(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def of_real_files(item: pytest.Item) -> bool:
    """Whether a test of the suite is about trained weights, or about a file by another tool."""
    given = getattr(item, "callspec", None)
    asked = {*getattr(item, "fixturenames", ()), *(given.params.values() if given else ())}
    return bool({"own", "foreign"} & {name for name in asked if isinstance(name, str)})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The closing account: how many tests were skipped, grouped by reason."""
    reports = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"{len(reports)} skipped")
    for reason, count in Counter(skip_reason(report) for report in reports).most_common():
        terminalreporter.write_line(f"{count:5d}  {reason}")


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, in its own words."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
