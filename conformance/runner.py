"""The suite on every format, each in a process of its own: what crashes or hangs there is one red row here.

A child is an ordinary `python -m pytest` that writes down what it does, line by line (`pytest_session.Recorder`). If it
dies in a test, that test has failed, and another child goes on after it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segkit.conformance.arguments import ConformanceArguments
from segkit.conformance.candidates import candidates_of
from segkit.conformance.given import look_at
from segkit.conformance.last_words import CRASH, HANG, place_of, said_in
from segkit.conformance.report import BackendReport, Candidate, Report, Row, failed_row
from segkit.conformance.report_files import check_folder, write_reports
from segkit.conformance.stream import line_of, read_stream, stream_of
from segkit.conformance.temporary import temporary_folder
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.errors import MissingDependencyError, OptionError, OutputError
from segkit.core.files import expanded, output_error

PLUGIN = "segkit.conformance.pytest_plugin"
TARGET = ("--pyargs", "segkit.conformance")
"""What a child collects."""

STARTING = 300
"""Seconds that a child may take until its first test begins, and to end after its last one."""

DEATHS = 8
"""Tests of one format that may end their process; after that many the others are not tried any more."""

POLL = 0.1

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "the disk is full")
"""What a message has in it that tells of a full disk: the system's words, and ours."""

EARLIER = 0.9
"""Share of a test's time after which its process says where it is: it is ended soon, and cannot then."""

USABLE = (0, 1, 5)
"""Exit codes of pytest when it ran to its end: all passed, some failed, there were none."""

UNUSABLE = (2, 3, 4)
"""Those when it did not: interrupted or not collected, an error of its own, a wrong option."""


class ConformanceRun:
    """One run over some formats. Iterate over it, and over each `BackendRun` that it gives; then ask for `report`."""

    def __init__(
        self,
        args: ConformanceArguments,
        *,
        machine: Mapping[str, str] | None = None,
        registry: Registry | None = None,
        target: Sequence[str] | None = None,
    ) -> None:
        """Look at everything that was given, before anything is run.

        Args:
            args: what was asked for.
            machine: facts about it, for the report.
            registry: where formats are looked up.
            target: what pytest collects in the child; another suite for tests of this class.

        Raises:
            MissingDependencyError: pytest is not installed, or what a format that was named needs, or a stage of it.
            UnknownFormatError, ModelFileError, SourceError: what was given is not there, or not usable.
            InputError: model and data set do not fit together, or the plugin of a format that was named is broken.
            OptionError: an option is empty, or there is a data set and no model.
            OutputError: the report cannot be written.
        """
        if find_spec("pytest") is None:
            raise MissingDependencyError(["segkit[conformance]"], "The conformance suite")
        self.args, self.target = args, tuple(target or TARGET)
        store = None if args.store is None else _folder("store", args.store).resolve()
        self.candidates = candidates_of(registry or default_registry(), args.format, args.stage, store)
        self.asked = args.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"report"})
        self.machine = dict(machine or {})
        model, data = look_at(args.model, args.data, command=True)
        self.folder = None if args.report is None else _folder("report", args.report)
        if self.folder:
            check_folder(self.folder, [each.name for each in self.candidates])
        self.told = [*_option("model", model), *_option("data", data), *_option("store", store)]
        for name in ("stage", "precision"):
            self.told += [word for each in getattr(args, name) or () for word in _option(name, each)]
        self.told += ["--segkit-quick"] if args.quick else []
        self._found: list[BackendReport] = []
        self._report: Report | None = None

    def __iter__(self) -> Generator[BackendRun]:
        """One after another: they are measured, too, and would be in each other's way. Close it if you leave early.

        Raises:
            OutputError: there is no temporary folder, or the report cannot be written.
        """
        begun = time.perf_counter()
        with temporary_folder("segkit-conformance-") as folder:
            for candidate in self.candidates:
                backend = BackendRun(candidate, self, folder)
                try:
                    yield backend
                    for _ in backend:  # whatever the caller did not want to see
                        pass
                finally:
                    backend.close()
                self._found.append(backend.report())
            report = Report(tuple(self._found), self.asked, seconds=round(time.perf_counter() - begun, 3))
            report = replace(report, machine={**report.machine, **self.machine})
            self._report = write_reports(report, folder, self.folder) if self.folder else report

    @property
    def report(self) -> Report:
        """What was found, once everything has been run."""
        if self._report is None:
            with closing(iter(self)) as backends:
                for _ in backends:
                    pass
        assert self._report is not None
        return self._report


@dataclass
class BackendRun:
    """One format: iterate for its tests, as they end. It goes on where it was left."""

    candidate: Candidate
    run: ConformanceRun
    folder: Path
    total: int | None = None
    rows: list[Row] = field(default_factory=list)
    problem: str = ""
    _seconds: float = 0.0
    _events: Generator[Row] | None = None

    def __iter__(self) -> Iterator[Row]:
        """The tests."""
        if self._events is None:
            self._events = self._all()
        return self._events

    def close(self) -> None:
        """Nothing runs any more, whether all was done or not."""
        if self._events:
            self._events.close()

    def report(self) -> BackendReport:
        """What was found so far."""
        return BackendReport(self.candidate, tuple(self.rows), self.problem, self._seconds)

    def _all(self) -> Generator[Row]:
        if self.candidate.missing:
            return
        if self.candidate.fault:
            self.problem = self.candidate.fault
            return
        begun = time.perf_counter()
        try:
            for _ in range(DEATHS):
                child = Child(self)
                try:
                    for row in child.watch():
                        self._blame_the_disk(row.message)
                        self.rows.append(row)
                        yield row
                finally:
                    child.end()
                if not child.died_in:
                    self._blame_the_disk(child.problem)
                    self.problem = child.problem
                    return
            self.problem = f"{DEATHS} tests ended their process; the others were not tried"
        finally:
            shutil.rmtree(self.files, ignore_errors=True)  # more than a gigabyte for a format; pictures are elsewhere
            self._seconds = round(time.perf_counter() - begun, 3)

    def _blame_the_disk(self, message: str) -> None:
        """End the run where it is told that the disk is full: that is no fault of a backend."""
        if any(words in message for words in FULL):
            problem = "the disk is full, and so nothing can be tested; set TMPDIR to a folder with more room"
            raise OutputError(self.folder.parent, problem)

    @property
    def files(self) -> Path:
        """Where the tests make what they need."""
        return self.folder / f"{self.candidate.name}-files"

    @property
    def path(self) -> Path:
        """The child's report."""
        return self.folder / f"{self.candidate.name}.json"


class Child:
    """One process that runs tests of one format."""

    def __init__(self, backend: BackendRun) -> None:
        """Start it, in a folder where nothing of the user's can be picked up or written to."""
        self.backend = backend
        self.limit = backend.run.args.timeout
        self.died_in, self.problem = "", ""
        self._log = backend.folder / f"{backend.candidate.name}.log"
        self._logged = self._log.stat().st_size if self._log.exists() else 0
        self._stream = stream_of(backend.path)
        self._read = self._stream.stat().st_size if self._stream.exists() else 0
        self._current: Row | None = None
        self._ended = False
        self._since = time.monotonic()
        cwd = backend.folder / "working"
        try:
            cwd.mkdir(exist_ok=True)
            command, log = _command(backend), self._log.open("ab")
        except OSError as error:
            raise output_error(backend.folder, error) from error
        with log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                start_new_session=True,
                env=_environment(backend.folder),
            )

    def watch(self) -> Iterator[Row]:
        """Tests as they end, the one that ended the process included."""
        while True:
            running = self._process.poll() is None
            yield from self._events()
            if not running:
                break
            if time.monotonic() - self._since > (self.limit if self._current else max(STARTING, self.limit)):
                yield from self._hangs()
                return
            time.sleep(POLL)
        code = self._process.returncode
        if self._current:
            yield self._dead(f"the test ended its process: {_death(code)}", CRASH)
        elif self._ended and code in UNUSABLE:
            self.problem = f"pytest could not run the tests (exit code {code}){self._last_words(CRASH)}"
        elif code not in USABLE or not self._ended:
            when = (
                "after the last test" if self._ended else "before the first test" if not self._read else "between tests"
            )
            self.problem = f"{when}, pytest's process ended: {_death(code)}{self._last_words(CRASH)}"

    def end(self) -> None:
        """Nothing of it survives."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def _hangs(self) -> Iterator[Row]:
        self.end()
        if self._current:
            yield self._dead(f"no end after {self.limit:g} s (option timeout), so its process was ended", HANG)
        else:
            self.problem = f"pytest's process neither began a test nor ended, so it was ended{self._last_words(HANG)}"

    def _events(self) -> Iterator[Row]:
        """What is new in the stream."""
        if not self._stream.exists():
            return
        with self._stream.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]  # the rest of a line is still being written
        self._read += len(new)
        for event in read_stream(new.decode("utf-8", "replace")):
            self._since = time.monotonic()
            yield from self._take(event)

    def _take(self, event: Mapping[str, Any]) -> Iterator[Row]:
        if "total" in event:
            self.backend.total = len(self.backend.rows) + event["total"]
        elif "begun" in event:
            self._current = Row.from_plain(event["begun"])
        elif "row" in event:
            self._current = None
            yield Row.from_plain(event["row"])
        elif "ended" in event:
            self._ended = True

    def _dead(self, message: str, stack: str) -> Row:
        assert self._current
        self.died_in = self._current.id
        row = failed_row(self._current, message + self._last_words(stack), round(time.monotonic() - self._since, 3))
        with self._stream.open("a", encoding="utf-8") as file:  # the next child knows by it what not to run again
            file.write("\n" + line_of(row=row.to_plain()))
        return row

    def _last_words(self, stack: str) -> str:
        with self._log.open("rb") as file:
            file.seek(self._logged)  # before it stands what other processes said
            log = file.read().decode("utf-8", "replace")
        told = {"it was in": place_of(log, stack), "it printed:": said_in(log)}
        return "".join(f"; {what} {text}" for what, text in told.items() if text)


def _command(backend: BackendRun) -> list[str]:
    """Pytest without plugins, settings and caches of whoever runs it: the suite is the same everywhere."""
    ini = backend.folder / "pytest.ini"
    limit = backend.run.args.timeout
    settings = {
        "addopts": "",
        "console_output_style": "classic",
        "faulthandler_timeout": max(limit * EARLIER, limit - 5),
    }
    ini.write_text("\n".join(["[pytest]", *(f"{name} = {value}" for name, value in settings.items()), ""]), "utf-8")
    return [
        *(sys.executable, "-P", "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-q", "--tb=short"),
        "--capture=sys",  # what a library prints as it dies goes to the log, not into a file of pytest's
        *("-c", str(ini), "--rootdir", str(backend.folder), "--import-mode=importlib", "--strict-markers"),
        *("--basetemp", str(backend.files)),
        *("--segkit-child", "--segkit-report", str(backend.path), "--segkit-format", backend.candidate.name),
        *_option("shared", str(backend.folder / "shared")),
        *backend.run.told,
        *backend.run.target,
    ]


def _environment(folder: Path) -> dict[str, str]:
    """That of a child: relative paths still lead where they led, and what is left in the temporary folder goes."""
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    own |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    if data := os.environ.get("SEGKIT_TEST_DATA"):
        own["SEGKIT_TEST_DATA"] = str(Path(data).resolve())
    return os.environ | own


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if -code == getattr(signal, "SIGKILL", None):
        return "it was killed (SIGKILL), as a system does that runs out of memory"
    try:
        return f"it crashed with {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _folder(name: str, given: str) -> Path:
    if not given.strip():
        raise OptionError.invalid(name, given, "it is empty")
    return expanded(given)


def _option(name: str, value: object) -> list[str]:
    return [f"--segkit-{name}", str(value)] if value else []
