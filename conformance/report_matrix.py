"""The matrix of a report: a row for each format and precision, a column for each stage, in every cell what was found.

All tables of reports are made from it: on the terminal, in Markdown, and on the page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf, isfinite

from segkit.conformance.arguments import PRECISIONS, STAGES
from segkit.conformance.report import BackendReport, Outcome, Report, Row
from segkit.conformance.stage import Figure

NO_PRECISION = "all"
"""What the row of those tests is called that are of no precision: they hold for all of them."""

NEARLY_ONE, NEARER_ONE = 0.9, 0.999

BOUND = re.compile(r"(<=|>=|≤|≥|<|>)\s*([-+\d.eE]+)")


@dataclass(frozen=True)
class Cell:
    """What was found about one format in one stage and one precision.

    Attributes:
        stage: where.
        rows: the tests; none where there is nothing to test.
    """

    stage: str
    rows: tuple[Row, ...]

    @property
    def state(self) -> str:
        """failed, passed, gap, skipped; "" where there is nothing. Never passed where nothing has been run."""
        counts = self.counts()
        order = (Outcome.FAILED, Outcome.PASSED, Outcome.GAP, Outcome.SKIPPED)
        return next((outcome.value for outcome in order if counts[outcome]), "")

    def counts(self) -> Counter[Outcome]:
        """Outcome → number of tests."""
        return Counter(row.outcome for row in self.rows)

    @property
    def kinds(self) -> list[str]:
        """Kinds of its gaps."""
        return sorted({row.kind for row in self.rows if row.outcome is Outcome.GAP})

    @property
    def headline(self) -> Figure | None:
        """The figure that is nearest to its bound, or beyond it; the first one where none has a bound."""
        return nearest(figure for row in self.rows for figure in row.figures)

    def count(self) -> str:
        """How many passed of those that were run; or why none was."""
        counts = self.counts()
        if self.state == Outcome.GAP:
            return ", ".join(kind.replace("-", " ") for kind in self.kinds)
        if self.state == Outcome.SKIPPED:
            return f"{counts[Outcome.SKIPPED]} skipped"
        if not self.rows:
            return ""
        return f"{counts[Outcome.PASSED]}/{counts[Outcome.PASSED] + counts[Outcome.FAILED]}"

    def beside(self) -> str:
        """What was not run beside what was."""
        counts = self.counts()
        if self.state in (Outcome.GAP, Outcome.SKIPPED):
            return ""
        gaps = f"{counts[Outcome.GAP]} gap{'' if counts[Outcome.GAP] == 1 else 's'}" if counts[Outcome.GAP] else ""
        skipped = f"{counts[Outcome.SKIPPED]} skipped" if counts[Outcome.SKIPPED] else ""
        return ", ".join(filter(None, (gaps, skipped)))

    def figure(self) -> str:
        """The headline as a text."""
        return number(self.headline) if self.headline else ""


@dataclass(frozen=True)
class Line:
    """A row of the matrix."""

    backend: BackendReport
    precision: str
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """The precision, in words."""
        return self.precision or NO_PRECISION


@dataclass(frozen=True)
class Matrix:
    """The whole."""

    stages: tuple[str, ...]
    lines: tuple[Line, ...]


def matrix_of(report: Report) -> Matrix:
    """The matrix. Stages and precisions of which no format has a test are left out."""
    rows = report.rows()
    stages = _in_order({row.stage for row in rows}, STAGES)
    lines = []
    for backend in report.backends:
        precisions = _in_order({row.precision for row in backend.rows} or {""}, ("", *PRECISIONS))
        for precision in precisions:
            own = [row for row in backend.rows if row.precision == precision]
            cells = (Cell(stage, tuple(row for row in own if row.stage == stage)) for stage in stages)
            lines.append(Line(backend, precision, tuple(cells)))
    return Matrix(tuple(stages), tuple(lines))


Turned = list[tuple[BackendReport, list[tuple[str, list[Cell]]]]]
"""For each format its stages, with a cell for each precision."""


def by_precision(matrix: Matrix) -> tuple[list[str], Turned]:
    """Labels of the precisions, and the matrix turned: for a place that is not wide enough for all stages."""
    labels = {line.precision: line.label for line in matrix.lines if line.backend.rows}
    precisions = _in_order({*labels}, ("", *PRECISIONS))
    turned: Turned = []
    for backend, lines in groupby(matrix.lines, key=lambda line: line.backend):
        known = {line.precision: line.cells for line in lines}
        rows = []
        for index, stage in enumerate(matrix.stages):
            cells = [known[each][index] if each in known else Cell(stage, ()) for each in precisions]
            if any(cell.rows for cell in cells):
                rows.append((stage, cells))
        turned.append((backend, rows))
    return [labels[each] for each in precisions], turned


def number(figure: Figure) -> str:
    """A value with its unit, as short as it can be read."""
    unit = f" {figure.unit}" if figure.unit else ""
    # A share close to one says something by its later digits.
    digits = (4 if figure.value < NEARER_ONE else 6) if NEARLY_ONE <= figure.value < 1 else 3
    return f"{figure.value:.{digits}g}{unit}"


def nearest(figures: Iterable[Figure]) -> Figure | None:
    """The figure that is nearest to its bound, or farthest beyond it; the first one where none has a bound."""
    listed = list(figures)
    return max(listed, key=closeness, default=None)


def closeness(figure: Figure) -> float:
    """How much of the error that its bound allows a figure uses up: 1 is all of it; -1 without a bound."""
    found = BOUND.search(figure.bound)
    if not found:
        return -1.0
    if not isfinite(figure.value):
        return 0.0 if figure.within else inf
    used, allowed = _errors(figure, float(found[2]), least=found[1] in (">=", "≥", ">"))
    share = used / allowed if allowed > 0 else (inf if used > 0 else 0.0)
    return share if figure.within else max(share, 1.0)


def _errors(figure: Figure, limit: float, *, least: bool) -> tuple[float, float]:
    """The error behind a figure, and the one behind its bound."""
    if not least:
        return abs(figure.value), abs(limit)
    if figure.unit == "dB":
        return 10 ** (-figure.value / 20), 10 ** (-limit / 20)
    if not figure.unit and limit <= 1:  # a share: what is lacking to all of it
        return max(1 - figure.value, 0.0), 1 - limit
    return limit, figure.value


def _in_order(found: set[str], order: Sequence[str]) -> list[str]:
    return [name for name in order if name in found] + sorted(found - {*order})
