"""A report as Markdown: for a pull request, a job summary, and docs/conformance.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from segkit.conformance.report import TELLING, BackendReport, Report, shortened
from segkit.conformance.report_matrix import Cell, matrix_of
from segkit.core.errors import InputError
from segkit.core.inference.saving import write_text

MARKS = {"passed": "✅", "failed": "❌", "gap": "⬜", "skipped": "⬜", "": ""}
BEGIN, END = "<!-- matrix: made by scripts/conformance_matrix.py -->", "<!-- end of the matrix -->"
"""Between these lines of a page stands the matrix."""

LONGEST = 1000
"""Characters of a line of a failure that does not say what is wrong."""


def markdown_of(report: Report) -> str:
    """The whole report."""
    made = ["Made by:", "", *(f"    {line}" for line in report.command().splitlines()), ""]
    lines = [f"# segkit conformance, suite {report.suite}", "", *made, *section_of(report), *_failures(report)]
    return "\n".join(lines) + "\n"


def section_of(report: Report) -> list[str]:
    """Verdict, matrix, gaps and versions, without a title."""
    return [report.verdict(), "", *matrix_lines(report), "", *_gaps(report), *_versions(report)]


def matrix_lines(report: Report) -> list[str]:
    """The matrix as a table."""
    matrix = matrix_of(report)
    lines = [_line(["format", "precision", *matrix.stages]), _line(["---"] * (2 + len(matrix.stages)))]
    for line in matrix.lines:
        name = f"`{line.backend.candidate.name}`"
        if line.backend.rows:
            lines.append(_line([name, line.label, *map(_cell, line.cells)]))
        else:
            mark = MARKS["failed" if line.backend.state == "failed" else "gap"]
            lines.append(_line([name, f"{mark} {_clean(line.backend.summary())}", *[""] * len(matrix.stages)]))
    return lines


def replace_matrix(page: Path, report: Report) -> None:
    """Put the matrix of a report into a page, between the lines that mark its place.

    Raises:
        InputError: the page cannot be read, or does not have those lines.
        OutputError: it cannot be written.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read '{page}': {(error.strerror or str(error)).lower()}.") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"Cannot put the matrix into '{page}': it needs the lines '{BEGIN}' and '{END}'.")
    write_text(page, before + "\n".join([BEGIN, "", *section_of(report), END]) + after)


def _cell(cell: Cell) -> str:
    figure = f"{cell.headline.name} {cell.figure()}" if cell.headline else ""
    parts = [f"{MARKS[cell.state]} {cell.count()}".strip(), cell.beside(), figure]
    return "<br>".join(_clean(part) for part in parts if part)


def _gaps(report: Report) -> Iterator[str]:
    fails = {(row.format, row.kind): f", fails the run (fail_on={report.fail_on})" for row in report.failing_gaps()}
    lines = [
        f"- `{backend.candidate.name}`, {kind}{fails.get((backend.candidate.name, kind), '')}: {_clean(reason)}"
        for backend in report.backends
        for kind, reason in backend.gaps()
    ]
    if lines:
        yield from ("Declared gaps (⬜, never counted as passed):", "", *lines, "")


def _failures(report: Report) -> Iterator[str]:
    for backend in report.backends:
        if backend.state == "failed":
            yield from ("", f"## {backend.candidate.title} failed", "", *_failed(backend))


def _failed(backend: BackendReport) -> Iterator[str]:
    if fault := backend.problem:
        yield f"- {_clean(fault)}"
    for row in backend.failed():
        first, *others = (_clean(line if line.startswith(TELLING) else shortened(line, LONGEST)) for line in row.told())
        yield f"- **{_clean(str(row))}**: {first}"
        yield from (f"  - {line}" for line in others)


def _versions(report: Report) -> Iterator[str]:
    yield f"Suite {report.suite}, segkit {report.segkit}, Python {report.python}, {report.started}"
    for backend in report.backends:
        runtime = ", ".join(f"{name} {version}" for name, version in backend.candidate.runtime.items())
        yield f"- `{backend.candidate.name}`: plugin of {backend.candidate.plugin}" + (
            f"; {runtime}" if runtime else ""
        )
    yield "- machine: " + "; ".join(f"{name}: {_clean(text)}" for name, text in report.machine.items())


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _clean(text: str) -> str:
    """One line that neither ends a cell nor opens a tag."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", " ".join(text.split()))
