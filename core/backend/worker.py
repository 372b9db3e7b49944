"""The child process that runs an export chain: `python -m segkit.core.backend.worker job.json`.

A plain interpreter, not multiprocessing: notebooks and scripts need no main guard, and a crash or a symbol clash in a
third-party toolchain ends the child, not the caller. The child dies with its parent: it watches its standard input,
which the parent holds open. Its standard output carries events, one JSON document a line; all that toolchains print
goes to the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from segkit.core.backend.faults import words
from segkit.core.errors import ExportError, SegkitError, revived

if TYPE_CHECKING:
    from segkit.core.backend.base import Calibration
    from segkit.core.backend.chain import Link
    from segkit.core.backend.registry import Registry

Report = Callable[[str], None]


def run_isolated(
    registry: Registry,
    links: list[Link],
    model: Path,
    folder: Path,
    name: str,
    calibration: Calibration | None,
    report: Report,
) -> Path:
    """Convert in a child process.

    Raises:
        ExportError: the conversion failed, or the child died; `.log` holds all that was printed.
    """
    from segkit.core.backend.calibration import PictureCalibration

    pixels = None
    if calibration is not None:
        pixels = folder / "calibration.npy"
        if not isinstance(calibration, PictureCalibration):
            raise TypeError("an isolated export needs a PictureCalibration: it travels to the child as a file")
        calibration.save(pixels)
    job = {
        "registered": [[plugin.name, plugin.value] for plugin in registry.registered],
        "sys_path": sys.path,
        "model": str(model.resolve()),
        "folder": str(folder),
        "name": name,
        "calibration": str(pixels) if pixels else None,
        "links": [
            {
                "format": link.backend.format.name,
                # Defaults stay defaults: an option that goes with another one only must not look as if it were given.
                "options": link.options.model_dump(mode="json", exclude_unset=True),
                "metadata": link.metadata.to_plain(),
            }
            for link in links
        ],
    }
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(job), encoding="utf-8")
    return _supervise(job_file, folder / "log.txt", links[-1].backend.format.name, report)


def _supervise(job_file: Path, log_file: Path, format_name: str, report: Report) -> Path:
    """Start the child, pass its events on, and turn every way of ending into a path or an ExportError."""
    command = [sys.executable, "-P", "-m", "segkit.core.backend.worker", str(job_file)]
    outcome: dict[str, Any] = {}
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            # What toolchains leave in the temporary folder goes with the job's.
            env=os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(job_file.parent)),
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                event = json.loads(line)
                if "report" in event:
                    report(event["report"])
                else:
                    outcome = event
                    break
            if not outcome:
                child.wait()
        finally:  # Ctrl-C and errors alike: nothing of the child survives
            _end(child)
    text = log_file.read_text(encoding="utf-8", errors="replace")
    if "made" in outcome:
        return Path(outcome["made"])
    if "kind" in outcome:
        raise revived(outcome["kind"], outcome["error"])
    problem = outcome.get("error") or _cause_of_death(child.returncode, text)
    raise ExportError(outcome.get("format", format_name), problem, text)


def _end(child: subprocess.Popen[bytes]) -> None:
    # Killed before the pipe closes: a child that outlives its parent takes the job's folder along, results included.
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # also what a child that has ended left running
    else:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()


def _cause_of_death(code: int, log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    last = f"; it last printed: {lines[-1].strip()[:200]}" if lines else ""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the converter crashed with {name}{last}"
    return f"the converter ended its process with code {code} before it was done{last}"


def main(job_file: str) -> int:
    """Body of the child: read the job, convert, report one outcome."""
    events = _claim_stdout()
    folder = Path(job_file).parent
    watch = threading.Thread(target=_die_with_parent, args=[_claim_stdin(), folder], daemon=True)
    watch.start()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    sys.path[:] = job["sys_path"]
    format_name = job["links"][-1]["format"]

    def emit(**event: str) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    try:
        outcome = {"made": str(_convert(job, lambda text: emit(report=text)))}
    except BaseException as error:
        with contextlib.suppress(OSError):  # a disk that is full has no room for the log either
            traceback.print_exc()
        if isinstance(error, ExportError):
            outcome = {"error": error.problem, "format": error.format_name}
        elif isinstance(error, SegkitError):
            outcome = {"error": str(error), "kind": type(error).__name__}
        else:
            outcome = {"error": words(error), "format": format_name}
    _flush()
    emit(**outcome)
    # The parent ends this process as soon as it has read that. Until then somebody must be left who removes the folder
    # if the parent dies; and a toolchain that crashes as it is torn down never gets to do so.
    watch.join()
    return 0


def _flush() -> None:
    """What was printed so far is in the log, by C libraries too: they keep it back where nobody reads along."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(OSError, AttributeError):  # not every system has the C library under this name
        ctypes.CDLL(None).fflush(None)


def _convert(job: dict[str, Any], report: Report) -> Path:
    from segkit.core.backend.calibration import PictureCalibration
    from segkit.core.backend.chain import Link, convert
    from segkit.core.backend.metadata import Metadata
    from segkit.core.backend.registry import default_registry

    registry = default_registry()
    for name, module in job["registered"]:
        registry.register(name, module)
    links = []
    for item in job["links"]:
        backend = registry.get(item["format"])
        assert backend.format.export_options is not None
        options = backend.format.export_options.model_validate(item["options"])
        links.append(Link(backend, options, Metadata.model_validate(item["metadata"])))
    pixels = job["calibration"]
    calibration = PictureCalibration.open(Path(pixels), links[-1].options.batch) if pixels else None
    return convert(links, Path(job["model"]), Path(job["folder"]), job["name"], calibration, report)


def _claim_stdout() -> IO[str]:
    """Keep the real standard output for events; whatever prints from now on, C libraries included, prints to the
    log.
    """
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _claim_stdin() -> int:
    """Keep the pipe to the parent; a toolchain that asks a question reads the end of input instead of waiting."""
    pipe = os.dup(0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return pipe


def _die_with_parent(pipe: int, folder: Path) -> None:
    """Take the job's folder along: nobody else is left who knows of it."""
    # Returns when the parent is gone, however it went. Not a file object: its lock would be held at a normal exit.
    while os.read(pipe, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
