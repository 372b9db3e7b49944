"""A run of pytest with the suite in it: which classes there are, which tests are wanted, and what became of them."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from segkit.conformance.arguments import precisions_of, stages_of
from segkit.conformance.candidates import TORCH, candidates_of
from segkit.conformance.given import look_at
from segkit.conformance.report import Candidate, Outcome, Report, Row, by_format, shortened
from segkit.conformance.report_files import JSON, files_of, keep_picture, remove_files, write_json
from segkit.conformance.settings import spelt
from segkit.conformance.stage import MARK, PICTURE, Stage, figures_of
from segkit.conformance.stream import line_of, read_stream, stream_of
from segkit.core.backend.options import Precision
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError, OutputError, SegkitError
from segkit.core.validation.benchmark_arguments import names_of

INSTALLED = Path(__file__).with_name("test_installed.py")
"""The module whose classes are made here."""

ROW = "segkit.row"
"""Name of the property that says what a test is: reports of pytest take it along, also out of another process."""

GAP = re.compile(r"declared gap '(?P<feature>[^']*)' \((?P<kind>[^)]*)\): (?P<reason>.*)", re.DOTALL)
"""How the suite says that a test ends at a declared gap."""

LONGEST = 4000
"""Characters of a message that a report takes in."""


class SuiteRun:
    """Hooks of pytest, for runs that have to do with the suite."""

    def __init__(self, config: pytest.Config) -> None:
        """Look at what was asked for.

        Raises:
            pytest.UsageError: it cannot be done; one line says why.
        """
        option = config.option
        given = {name: getattr(option, f"segkit_{name}") for name in ("model", "data", "quick")}
        try:
            _must_say_something(option)
            self.formats = names_of(option.segkit_format)
            self.stages = stages_of(option.segkit_stage)
            self.precisions = precisions_of(option.segkit_precision)
            self.asked = {"format": self.formats, "stage": self.stages, "precision": self.precisions}
            self.asked |= given
            self.store = Path(option.segkit_store) if option.segkit_store else None
            self.candidates = self.installed(self.formats) if self.formats else []
            # Whoever started a child or a worker of xdist has looked at it.
            if not (option.segkit_child or hasattr(config, "workerinput")):
                look_at(option.segkit_model, option.segkit_data, command=False)
        except SegkitError as error:
            raise pytest.UsageError(str(error)) from None
        if option.segkit_child:
            config.pluginmanager.register(NoDots(), "segkit-no-dots")
            _die_with_parent()
        if option.segkit_report and not hasattr(config, "workerinput"):  # xdist: the one that has the workers writes
            recorder = Recorder(Path(option.segkit_report), self, resumed=option.segkit_child)
            config.pluginmanager.register(recorder, "segkit-report")

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        """The suite's own module gets its classes from here."""
        if module_path.name != INSTALLED.name or not module_path.samefile(INSTALLED):
            return None
        # Where only torch is missing, the tests themselves are skipped with that reason.
        self.candidates = self.candidates or [each for each in self.installed() if {*each.missing} <= {TORCH}]
        module: InstalledFormats = InstalledFormats.from_parent(parent, path=module_path)
        module.candidates = self.candidates
        return module

    def installed(self, names: Sequence[str] | None = None) -> list[Candidate]:
        """These formats, or every one, with what they lack for the chosen stages."""
        return candidates_of(default_registry(), names, self.stages, self.store)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Say what each test is, and keep those that are wanted."""
        done = _done(config)
        kept: list[pytest.Item] = []
        others: list[pytest.Item] = []
        for item in items:
            if row := row_of(item):
                item.user_properties.append((ROW, json.dumps(row.to_plain())))
            (kept if self._wants(row) and item.nodeid not in done else others).append(item)
        items[:] = sorted(kept, key=_order) if self.candidates else kept
        if others:
            config.hook.pytest_deselected(items=others)

    def _wants(self, row: Row | None) -> bool:
        """Tests that are none of the suite's are wanted where only a report is asked for."""
        if row is None:
            return not (self.formats or self.stages or self.precisions)
        names = {candidate.name for candidate in self.candidates}
        return (
            (not self.formats or row.format in names)
            and (not self.stages or row.stage in self.stages)
            and (not self.precisions or row.precision in ("", *self.precisions))
        )


class NoDots:
    """In a child: nobody watches its tests go by, and what a crash prints would stand behind the dots."""

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, Any, Any]:
        """The letter goes; what is counted stays."""
        category, _, word = yield
        return category, "", word


class InstalledFormats(pytest.Module):
    """The suite's own module, with one class a format."""

    candidates: list[Candidate]

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Make the classes, and let pytest find them."""
        from segkit.conformance.suite import BackendSuite

        for candidate in self.candidates:
            name = "Test_" + re.sub(r"\W", "_", candidate.name)
            made = type(name, (BackendSuite,), {"format": candidate.name, "__module__": self.obj.__name__})
            setattr(self.obj, name, made)
        yield from super().collect()


def row_of(item: pytest.Item) -> Row | None:
    """What a test of the suite is; None for anybody else's."""
    suite = getattr(item, "cls", None)
    name = getattr(suite, "format", None)
    mark = item.get_closest_marker(MARK)
    if not isinstance(name, str) or not (mark or _inherits(suite)):
        return None
    stage = str(mark.args[0]) if mark and mark.args else Stage.CONTRACT
    callspec = getattr(item, "callspec", None)
    parameters: Mapping[str, Any] = callspec.params if callspec else {}
    precision = next(filter(None, map(_precision, parameters.values())), "")
    words = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    return Row(item.nodeid, name, stage, precision, words, callspec.id if callspec else "")


def _inherits(suite: Any) -> bool:
    module = sys.modules.get("segkit.conformance.suite")  # not imported for tests that have nothing to do with it
    return isinstance(suite, type) and module is not None and issubclass(suite, module.BackendSuite)


def _precision(value: Any) -> str:
    """That of a parameter: it is one, or has one. A feature with the name of a precision is none: its test may be one
    of the refusal.
    """
    found = getattr(value, "precision", value)
    return found.value if isinstance(found, Precision) else ""


def _order(item: pytest.Item) -> tuple[str, int]:
    """Stages in their order, format by format: a fault shows first where it is."""
    row = row_of(item)
    stages = [*Stage]
    return (row.format, stages.index(Stage(row.stage)) if row.stage in stages else len(stages)) if row else ("", 0)


class Recorder:
    """Writes down what becomes of each test of the suite.

    Every line goes to a stream beside the report at once, so that a process that dies leaves what it knew; at the end
    the report is made of it.
    """

    def __init__(self, path: Path, run: SuiteRun, *, resumed: bool) -> None:
        """`resumed`: the stream goes on where another process left it, and is left for whoever started this one."""
        self.path, self.run, self.resumed = path, run, resumed
        self.rows: list[Row] = []
        self._parts: dict[str, list[pytest.TestReport]] = {}
        self._known: dict[str, Row] = {}
        self._stream: IO[str] | None = None
        self._begun = time.perf_counter()
        self._earlier = set() if resumed else files_of(path)
        self._unwritten = ""

    def pytest_sessionstart(self) -> None:
        """Open the stream."""
        if self.path.is_dir():
            file = self.path / JSON
            raise pytest.UsageError(f"--segkit-report: '{self.path}' is a folder; give a file in it, e.g. {file}.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Held open for as long as tests run.
            self._stream = stream_of(self.path).open("a" if self.resumed else "w", encoding="utf-8")
        except OSError as error:
            raise pytest.UsageError(f"--segkit-report: cannot write '{self.path}': {error.strerror}.") from None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say how many tests there are."""
        self._known = {item.nodeid: row for item in session.items if (row := row_of(item))}
        self._tell(total=len(self._known))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        if row := self._known.get(nodeid):
            self._tell(begun=row.to_plain())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Setting up, running or tearing down a test has ended."""
        self._parts.setdefault(report.nodeid, []).append(report)
        if report.when != "teardown":
            return
        parts = self._parts.pop(report.nodeid)
        plain = next((value for name, value in report.user_properties if name == ROW), None)
        if plain is not None:
            row = self._row(Row.from_plain(json.loads(str(plain))), parts)
            self.rows.append(row)
            self._tell(row=row.to_plain())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Make the report."""
        self._tell(ended=int(exitstatus))
        if self._stream:
            self._stream.close()
        if self.resumed:
            return
        stream_of(self.path).unlink(missing_ok=True)
        seconds = time.perf_counter() - self._begun
        names = {row.format for row in self.rows}
        candidates = self.run.candidates or [each for each in self.run.installed() if each.name in names]
        asked = {name: each for name, each in self.run.asked.items() if each}
        try:
            write_json(Report(by_format(self.rows, candidates, seconds), asked, seconds=seconds), self.path)
            remove_files(self.path.parent, self._earlier - files_of(self.path))
        except OutputError as error:
            self._unwritten, session.exitstatus = str(error), pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where it is."""
        if not self.resumed:
            terminalreporter.write_line(f"conformance report: {self._unwritten or self.path}")

    def _tell(self, **event: Any) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(line_of(**event))
            self._stream.flush()
        except OSError:
            if self.resumed:  # whoever started this one lives on these lines
                raise
            stream, self._stream = self._stream, None
            with suppress(OSError):  # it tries once more to write what it holds
                stream.close()

    def _row(self, row: Row, parts: list[pytest.TestReport]) -> Row:
        properties = parts[-1].user_properties
        titled = [json.loads(str(value)) for name, value in properties if name == PICTURE]
        pictures = [keep_picture(self.path, f"{len(self.rows)}-{index}", each) for index, each in enumerate(titled)]
        return replace(
            row,
            **_ending(parts),
            seconds=round(sum(part.duration for part in parts), 3),
            figures=tuple(figures_of(list(properties))),
            pictures=tuple(filter(None, pictures)),
        )


def _ending(parts: list[pytest.TestReport]) -> dict[str, Any]:
    """What became of a test: the outcome, and of what failed the message, of what was not done the reason."""
    if failed := next((part for part in parts if part.failed), None):
        crash = getattr(failed.longrepr, "reprcrash", None)
        text = crash.message if crash else str(failed.longrepr)
        where = "" if failed.when == "call" else f"while it was {'set up' if failed.when == 'setup' else 'torn down'}: "
        return {"outcome": Outcome.FAILED, "message": shortened(where + text, LONGEST)}
    if skipped := next((part for part in parts if part.skipped), None):
        if (why := getattr(skipped, "wasxfail", None)) is not None:
            text = str(why).removeprefix("reason: ")
            if found := GAP.fullmatch(text):
                reason = f"{found['feature']}: {found['reason']}"
                return {"outcome": Outcome.GAP, "kind": found["kind"], "reason": reason, "feature": found["feature"]}
            return {"outcome": Outcome.GAP, "kind": "expected failure", "reason": text}
        told = skipped.longrepr[2] if isinstance(skipped.longrepr, tuple) else str(skipped.longrepr)
        return {"outcome": Outcome.SKIPPED, "reason": told.removeprefix("Skipped: ")}
    return {"outcome": Outcome.PASSED}


def _must_say_something(option: Any) -> None:
    """Of an option that is given and empty nobody knows what it was to be."""
    for name in ("format", "stage", "precision", "report", "store"):
        given = getattr(option, f"segkit_{name}")
        for value in [given] if isinstance(given, str) else given or ():
            if not names_of(value):
                raise OptionError.invalid(spelt(name, command=False), value, "it is empty")


def _done(config: pytest.Config) -> set[str]:
    """Tests that an earlier process of the same run has ended, or that have ended it."""
    if not config.option.segkit_child or not config.option.segkit_report:
        return set()
    stream = stream_of(Path(config.option.segkit_report))
    if not stream.exists():
        return set()
    return {event["row"]["id"] for event in read_stream(stream.read_text(encoding="utf-8")) if "row" in event}


def _die_with_parent() -> None:
    """Whoever started this process wants to know what comes of it; without him nobody does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
