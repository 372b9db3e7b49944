"""What a run of the suite found, as data and as JSON. Reports need neither pytest nor torch nor a runtime.

The JSON document (`Report.to_plain`) is described in docs/conformance.md; `SCHEMA` numbers its shape.
"""

from __future__ import annotations

import json
import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Any

from segkit.conformance import VERSION
from segkit.conformance.stage import Figure
from segkit.core.backend.capability import Feature, GapKind
from segkit.core.backend.format import installed_version
from segkit.core.errors import InputError

SCHEMA = 2
"""Of the JSON document; it grows when a reader of the old shape would misread the new one."""


RUNS = (Feature.EXPORT, Feature.PREDICT)
"""What a format must be able to do here to be tested, as far as it does it at all."""

TELLING = ("!", "likely:")
"""How lines of a failure begin that say what is wrong: a figure beyond its limit, and what explains it."""

TOLD = 4
"""Lines of each of the two that are told where there is little room."""


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    GAP = "gap"
    """the format declares that it cannot do this"""
    SKIPPED = "skipped"
    """something that the test needs is not here"""


class FailOn(StrEnum):
    """Which declared gaps fail a run, beside what fails anyway."""

    GAP = "gap"
    """all but those of what makes no sense for the format"""
    BROKEN = "broken"
    """those that wait for a repair in somebody else's software"""

    def counts(self, row: Row) -> bool:
        """Whether this row fails the run."""
        if row.outcome is not Outcome.GAP:
            return False
        return row.kind == GapKind.BROKEN_UPSTREAM if self is FailOn.BROKEN else row.kind != GapKind.NOT_APPLICABLE


@dataclass(frozen=True)
class Image:
    """A picture that a test left: its title, and its path relative to the report."""

    title: str
    path: str


@dataclass(frozen=True)
class Row:
    """One test.

    Attributes:
        id: as pytest calls it.
        format, stage: what was tested.
        precision: "" for a test that is of no precision.
        test, case: its name in words, and its parameters.
        outcome: what became of it.
        kind, reason: of a gap: as declared; of a skipped one: the reason.
        feature: of a gap: what the format lacks.
        seconds: how long it took.
        figures, pictures: what it noted.
        message: why it failed.
    """

    id: str
    format: str
    stage: str
    precision: str
    test: str
    case: str
    outcome: Outcome = Outcome.PASSED
    kind: str = ""
    reason: str = ""
    seconds: float = 0.0
    figures: tuple[Figure, ...] = ()
    message: str = ""
    pictures: tuple[Image, ...] = ()
    feature: str = ""

    def __str__(self) -> str:
        """Stage, test and case, for people."""
        return f"{self.stage}: {self.test}" + (f" [{self.case}]" if self.case else "")

    def in_one_line(self) -> str:
        """Why it failed, or was not done."""
        if self.outcome is Outcome.GAP:
            return f"{self.kind}: {self.reason}"
        return " ".join(self.told()) if self.outcome is Outcome.FAILED else self.reason

    def told(self) -> list[str]:
        """Why it failed, in few lines."""
        return told_of(self.message)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Row:
        """From its part of the JSON document."""
        figures = (Figure(**each | {"value": _number(each["value"])}) for each in plain["figures"])
        pictures = tuple(Image(**each) for each in plain["pictures"])
        given = {**plain, "outcome": Outcome(plain["outcome"]), "figures": tuple(figures), "pictures": pictures}
        return cls(**given)

    def to_plain(self) -> dict[str, Any]:
        """For the JSON document."""
        plain = asdict(self)
        for figure in plain["figures"]:
            if not isfinite(figure["value"]):  # JSON has no word for it
                figure["value"] = str(figure["value"])
        return plain


@dataclass(frozen=True)
class Candidate:
    """A format that is to be tested.

    Attributes:
        name, title: of the format; the name as it is typed.
        plugin: distribution that brings it, with its version.
        runtime: distribution → version, of what it runs on.
        missing: what is not installed here, as pip takes it: it cannot be tested.
        fault: what is wrong with its plugin: nothing of it can be used.
    """

    name: str
    title: str
    plugin: str = ""
    runtime: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class BackendReport:
    """What was found about one format.

    Attributes:
        candidate: the format.
        rows: its tests.
        problem: what went wrong beside single tests, so that it has failed; "" otherwise.
        seconds: how long it took, with starting its process.
        log: file beside the report with every traceback, "" where nothing failed.
    """

    candidate: Candidate
    rows: tuple[Row, ...] = ()
    problem: str = ""
    seconds: float = 0.0
    log: str = ""

    @property
    def state(self) -> str:
        """passed, failed, not run (made and looked at, but it cannot run here), or not tested: what lacks something has
        not passed by those tests that do without it.
        """
        counts = self.counts()
        if self.problem or counts[Outcome.FAILED]:
            return "failed"
        if not counts[Outcome.PASSED] or self.candidate.missing:
            return "not tested"
        return "not run" if self.obstacle else "passed"

    @property
    def obstacle(self) -> Row | None:
        """A test that ended because files of the format cannot be made or run here at all; None where they can."""
        return next((row for row in self.rows if row.outcome is Outcome.GAP and row.feature in RUNS), None)

    def why_not(self, *, whole: bool = True) -> str:
        """Why a format was not run or not tested, its kind alone or with the reason; "" where it was."""
        if self.state not in ("not run", "not tested"):
            return ""
        if self.candidate.missing:
            return f"needs {', '.join(self.candidate.missing)}"
        if row := self.obstacle:
            kind, reason = row.kind.replace("-", " "), row.reason.removeprefix(f"{row.feature}: ")
            return f"{kind}: {reason}" if whole else kind
        if not self.rows:
            return "the suite has no such test"
        gaps = [kind.replace("-", " ") for kind in dict.fromkeys(kind for kind, _ in self.gaps())]
        return ", ".join(gaps) or "all its tests were skipped"

    def counts(self) -> Counter[Outcome]:
        """Outcome → number of tests."""
        return Counter(row.outcome for row in self.rows)

    def failed(self) -> list[Row]:
        """Tests that failed."""
        return [row for row in self.rows if row.outcome is Outcome.FAILED]

    def gaps(self) -> dict[tuple[str, str], list[Row]]:
        """(kind, reason) → the tests that it keeps from being run."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            if row.outcome is Outcome.GAP:
                found.setdefault((row.kind, row.reason), []).append(row)
        return found

    def summary(self) -> str:
        """One line for people."""
        why = self.why_not()
        if self.state == "not tested":
            return f"not tested: {why}"
        if not self.rows:
            return f"failed: {self.problem}"
        counts = self.counts()
        parts = [f"{counts[Outcome.PASSED]} passed", f"{counts[Outcome.FAILED]} failed"]
        if gaps := counts[Outcome.GAP]:
            parts.append(_several(gaps, "declared gap"))
        parts += [f"{counts[Outcome.SKIPPED]} skipped"] if counts[Outcome.SKIPPED] else []
        beside = "".join(f"; {text}" for text in (self.problem, why) if text)
        return f"{self.state}: {', '.join(parts)} in {self.seconds:.0f} s{beside}"


@dataclass(frozen=True)
class Report:
    """What a run found.

    Attributes:
        backends: one for every format.
        asked: what the run was told, option → value.
        machine: what it ran on.
        started: when, in UTC.
        seconds: how long it took.
        suite, segkit, python: versions.
    """

    backends: tuple[BackendReport, ...]
    asked: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=lambda: {"platform": platform.platform()})
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: float = 0.0
    suite: str = VERSION
    segkit: str = field(default_factory=lambda: installed_version("segkit") or "unknown")
    python: str = field(default_factory=platform.python_version)

    def rows(self) -> list[Row]:
        """All tests."""
        return [row for backend in self.backends for row in backend.rows]

    @property
    def fail_on(self) -> FailOn | None:
        """Which declared gaps fail this run; it was asked for."""
        given = self.asked.get("fail_on")
        return FailOn(given) if given else None

    def failing_gaps(self) -> list[Row]:
        """Tests that ended at a declared gap, and for which the run has failed."""
        return [row for row in self.rows() if self.fail_on and self.fail_on.counts(row)]

    def passes(self) -> bool:
        """Whether something was tested and nothing failed, gaps included that it was told to fail on."""
        states = {backend.state for backend in self.backends}
        return "failed" not in states and not states.isdisjoint(("passed", "not run")) and not self.failing_gaps()

    def verdict(self) -> str:
        """A line for people: how many formats pass, and which do not, by name."""
        named: dict[str, list[str]] = {}
        for backend in self.backends:
            why = backend.why_not(whole=False) if backend.state == "not run" else ""
            named.setdefault(backend.state, []).append(backend.candidate.name + (f" ({why})" if why else ""))
        tested = sum(len(named.get(state, ())) for state in ("passed", "failed", "not run"))
        if not tested:
            return "Nothing was tested."
        words = {"failed": "failed", "not run": "could not be run here", "not tested": "not tested"}
        others = "".join(f"; {said}: {', '.join(named[state])}" for state, said in words.items() if state in named)
        formats = "format passes" if tested == 1 else "formats pass"
        text = f"{len(named.get('passed', ()))} of {tested} {formats} in {self.seconds:.0f} s{others}."
        if gaps := self.failing_gaps():
            text += f" The run fails because of {_several(len(gaps), 'test')} at declared gaps: fail_on={self.fail_on}."
        return text

    def command(self) -> str:
        """The run, as it is typed."""
        options = {name: ",".join(value) if isinstance(value, list) else value for name, value in self.asked.items()}
        return shlex.join(["segkit", "conformance", *(f"{name}={value}" for name, value in options.items())])

    def to_plain(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "schema": SCHEMA,
            "suite": self.suite,
            "segkit": self.segkit,
            "python": self.python,
            "machine": dict(self.machine),
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "asked": dict(self.asked),
            "passed": self.passes(),
            "verdict": self.verdict(),
            "backends": [
                {
                    **asdict(backend.candidate),
                    "state": backend.state,
                    "why_not": backend.why_not(),
                    "problem": backend.problem,
                    "seconds": round(backend.seconds, 3),
                    "log": backend.log,
                    "tests": [row.to_plain() for row in backend.rows],
                }
                for backend in self.backends
            ],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Report:
        """From the JSON document."""
        backends = []
        for each in plain["backends"]:
            facts = {name: each[name] for name in ("name", "title", "plugin", "runtime", "fault")}
            rows = tuple(map(Row.from_plain, each["tests"]))
            candidate = Candidate(**facts, missing=tuple(each["missing"]))
            backends.append(BackendReport(candidate, rows, each["problem"], each["seconds"], each["log"]))
        facts = {name: plain[name] for name in ("asked", "machine", "started", "seconds", "suite", "segkit", "python")}
        return cls(tuple(backends), **facts)


def read_report(path: str | Path) -> Report:
    """The report in a JSON file.

    Raises:
        InputError: it cannot be read, or is no report of this shape.
    """
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
        if plain["schema"] == SCHEMA:
            return Report.from_plain(plain)
        problem = f"its shape has the number {plain['schema']}, this segkit reads {SCHEMA}"
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
    except (ValueError, KeyError, TypeError) as error:
        problem = f"it is not the report.json of a conformance run ({type(error).__name__}: {error})"
    raise InputError(f"Cannot read the report '{path}': {problem}. Make one: segkit conformance report=FOLDER")


def by_format(rows: Iterable[Row], candidates: Iterable[Candidate], seconds: float) -> tuple[BackendReport, ...]:
    """The rows of one run, sorted by their formats; every candidate has a report, also one without rows."""
    found: dict[str, list[Row]] = {candidate.name: [] for candidate in candidates}
    known = {candidate.name: candidate for candidate in candidates}
    for row in rows:
        found.setdefault(row.format, []).append(row)
    share = seconds if len(found) == 1 else None
    return tuple(
        BackendReport(
            known.get(name) or Candidate(name, name),
            tuple(its),
            seconds=share if share is not None else sum(row.seconds for row in its),
        )
        for name, its in found.items()
    )


def failed_row(row: Row, message: str, seconds: float) -> Row:
    """A test that did not live to tell what became of it."""
    return replace(row, outcome=Outcome.FAILED, message=message, seconds=seconds)


def told_of(message: str) -> list[str]:
    """What a message says, in few lines: the first one, and those that say what is wrong."""
    first, *others = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    telling = [line for mark in TELLING for line in [line for line in others if line.startswith(mark)][:TOLD]]
    # A first line that announces something does not say it: where nothing is marked, the last one is nearest to it.
    return [first, *(telling or (others[-1:] if first.endswith(":") else []))]


def shortened(text: str, most: int) -> str:
    """A text that is too long, cut between lines or words. Lines that say what is wrong stay, wherever they are."""
    if len(text) <= most:
        return text
    head = text[:most]
    end = next((at for at in (head.rfind("\n"), head.rfind(" ")) if at > most // 2), most)
    telling = [line for line in text[end:].splitlines() if line.strip().startswith(TELLING)]
    return "\n".join([f"{head[:end].rstrip()} …", *telling[: 2 * TOLD]])


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _number(value: Any) -> float:
    return float(value)  # "nan" and "inf" are texts in JSON
