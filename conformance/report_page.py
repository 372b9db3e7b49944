"""A report as one page: a single file without scripts, whose pictures are in it and which links to nothing."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template

from segkit.conformance.report import TELLING, BackendReport, Image, Outcome, Report, Row
from segkit.conformance.report_matrix import Cell, Line, Matrix, closeness, matrix_of, nearest, number
from segkit.conformance.report_tables import figures_table, tests_table, words_of
from segkit.conformance.stage import Stage

TEMPLATE = Path(__file__).with_name("report_page.html")
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}

WORST = 12
"""How many cases with pictures the page has."""

STAGES = {
    Stage.DECLARE: "what the format says about itself is complete, and what it says it cannot do is refused",
    Stage.EXPORT: "an export leaves one whole file, with any of its options, or nothing",
    Stage.METADATA: "what a file says about itself (classes, sizes, …) is what it was given",
    Stage.RAW: "the numbers that the network gives, before objects are selected",
    Stage.PREPROCESS: "the network is given the same pixels",
    Stage.INSTANCES: "the same objects are found: classes, scores, masks",
    Stage.DATASET: "the scores (mAP) over a labelled data set are the same",
    Stage.CONTRACT: "what every program relies on: threads, sizes, memory, clear words about damaged files",
    Stage.SPEED: "time and memory; reported, and held against nothing",
}
"""What each stage looks at, for readers who have never seen the suite."""

CASES = {
    "[…-golden]": "on the suite's own small model and generated pictures",
    "[…-own]": "on your model and data, else on other trained weights where there are some",
}
"""What cases of tests are called that compare numbers."""


def page_of(report: Report, folder: Path) -> str:
    """The page. Every text in it is escaped; `folder` is what the paths of pictures are relative to."""
    matrix = matrix_of(report)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        suite=escape(report.suite),
        verdict=escape(report.verdict()),
        state=_colour(report),
        why_not="".join(_why_not(report)),
        head="".join(f'<th scope="col">{escape(stage)}</th>' for stage in matrix.stages),
        matrix="".join(_groups(matrix)),
        stages="".join(_described(name, text) for name, text in (STAGES | CASES).items()),
        failures=_section("What failed", "".join(_failures(report))),
        worst=_section("Where pictures differ most", _pictures(report, folder)),
        figures=_section("Figures nearest to their limits", figures_table(report)),
        gaps=_section("What was not run, and why", "".join(_gaps(report))),
        tests="".join(map(tests_table, report.backends)),
        versions="".join(_versions(report)),
        machine="".join(_fact(name, text) for name, text in report.machine.items()),
        asked=escape(report.command()),
    )


def worst_shown(rows: Iterable[Row]) -> list[Row]:
    """Tests with pictures: those that failed first, then by how much of its bound the worst figure uses up."""
    seen = [row for row in rows if row.pictures]

    def badness(row: Row) -> tuple[bool, float]:
        figure = nearest(row.figures)
        return row.outcome is Outcome.FAILED, closeness(figure) if figure else -1.0

    return sorted(seen, key=badness, reverse=True)[:WORST]


def _colour(report: Report) -> str:
    """Never green where no format has been run."""
    if not report.passes():
        return "bad"
    return "good" if any(backend.state == "passed" for backend in report.backends) else "note"


def _why_not(report: Report) -> Iterator[str]:
    words = {"not run": "could not be run here", "not tested": "was not tested"}
    for backend in report.backends:
        if said := words.get(backend.state):
            yield f'<p class="note">{escape(backend.candidate.title)} {said}: {escape(backend.why_not())}</p>\n'


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}</section>\n" if body else ""


def _groups(matrix: Matrix) -> Iterator[str]:
    for _, lines in groupby(matrix.lines, key=lambda line: line.backend.candidate.name):
        listed = list(lines)
        rows = "".join(_row(line, len(listed) if index == 0 else 0, matrix) for index, line in enumerate(listed))
        yield f"<tbody>\n{rows}</tbody>\n"


def _row(line: Line, span: int, matrix: Matrix) -> str:
    backend = line.backend
    name = _name(backend, span) if span else ""
    if not backend.rows:
        state = "failed" if backend.state == "failed" else "gap"
        return f'<tr>{name}<td class="{state} whole" colspan="{1 + len(matrix.stages)}">{_text(backend)}</td></tr>\n'
    cells = "".join(map(_cell, line.cells))
    return f'<tr>{name}<th scope="row" class="precision">{escape(line.label)}</th>{cells}</tr>\n'


def _name(backend: BackendReport, span: int) -> str:
    candidate = backend.candidate
    state = {"passed": "good", "failed": "bad"}.get(backend.state, "note")
    return (
        f'<th scope="rowgroup" class="format" rowspan="{span}">{escape(candidate.title)}'
        f'<span class="note">{escape(candidate.name)}</span><span class="{state}">{escape(backend.state)}</span></th>'
    )


def _text(backend: BackendReport) -> str:
    return escape(backend.summary())


def _cell(cell: Cell) -> str:
    title = "&#10;".join(
        escape(f"{row.outcome}: {row.test}" + (f" [{row.case}]" if row.case else "")) for row in cell.rows
    )
    parts = [f"<b>{escape(cell.count())}</b>", *(f"<i>{escape(text)}</i>" for text in (cell.beside(),) if text)]
    if headline := cell.headline:
        parts.append(f"<span>{escape(number(headline))}</span><i>{escape(headline.name)}</i>")
    body = "".join(parts) if cell.rows else ""
    return f'<td class="{cell.state or "none"}" data-stage="{escape(cell.stage)}" title="{title}">{body}</td>'


def _failures(report: Report) -> Iterator[str]:
    for backend in report.backends:
        if backend.problem:
            yield f'<h3 class="bad">{escape(backend.candidate.title)}</h3><p>{escape(backend.problem)}</p>\n'
        for row in backend.failed():
            name = f"{backend.candidate.title}, {row}"
            lines = "\n".join(map(_line, row.message.splitlines()))
            yield f'<h3 class="bad">{escape(name)}</h3><pre>{lines}</pre>\n'
        if backend.log:
            yield f'<p class="note">Every traceback: <code>{escape(backend.log)}</code>, beside this page.</p>\n'
    for backend in report.backends:
        if gaps := [row for row in report.failing_gaps() if row.format == backend.candidate.name]:
            title = f"{backend.candidate.title}: declared gaps, which fail this run (fail_on={report.fail_on})"
            entries = "".join(_gap(rows) for rows in replace(backend, rows=tuple(gaps)).gaps().values())
            yield f'<h3 class="bad">{escape(title)}</h3><dl>{entries}</dl>\n'


def _line(line: str) -> str:
    """A line of a message; what says what is wrong stands out."""
    return f"<b>{escape(line)}</b>" if line.strip().startswith(TELLING) else escape(line)


def _pictures(report: Report, folder: Path) -> str:
    titles = {backend.candidate.name: backend.candidate.title for backend in report.backends}
    shown = worst_shown(report.rows())
    if not shown:
        return ""
    note = (
        "Of each test the picture on which the format and PyTorch, the reference, agree least; what failed first. "
        "Objects that both see alike are blue, those near the threshold amber, different ones red."
    )
    body = "".join(_shown(row, titles.get(row.format, row.format), folder) for row in shown)
    return f'<p class="note">{note}</p>\n{body}'


def _shown(row: Row, name: str, folder: Path) -> str:
    figure = nearest(row.figures)
    limit = f"Nearest to its limit: {words_of(figure)}" if figure else ""
    state = '<span class="bad">failed</span>' if row.outcome is Outcome.FAILED else '<span class="good">passed</span>'
    pictures = "".join(_picture(image, folder) for image in row.pictures)
    title = f"{name}, {row}" + (f", {row.precision}" if row.precision and row.precision not in row.case else "")
    return f'<h3>{escape(title)} {state}</h3><p class="note">{escape(limit)}</p><div class="row">{pictures}</div>\n'


def _picture(image: Image, folder: Path) -> str:
    path = folder / image.path
    kind = KINDS.get(path.suffix.lower(), "png")
    data = b64encode(path.read_bytes()).decode("ascii")
    source = f"data:image/{kind};base64,{data}"
    title = escape(image.title)
    return f'<figure><img alt="{title}" src="{source}"><figcaption>{title}</figcaption></figure>'


def _gaps(report: Report) -> Iterator[str]:
    for backend in report.backends:
        entries = list(map(_gap, backend.gaps().values()))
        skipped = Counter(row.reason for row in backend.rows if row.outcome is Outcome.SKIPPED)
        entries += [_described(f"skipped, {_tests_of(count)}", reason) for reason, count in skipped.most_common()]
        if backend.candidate.missing:
            entries.append(_described("not installed", ", ".join(backend.candidate.missing)))
        if entries:
            yield f"<h3>{escape(backend.candidate.title)}</h3><dl>{''.join(entries)}</dl>\n"


def _gap(rows: Sequence[Row]) -> str:
    """A declared gap, with the tests that it keeps from being run."""
    row = rows[0]
    feature = f"{row.feature}: " if row.feature else ""
    name = f"{feature}{row.kind.replace('-', ' ')}, {_tests_of(len(rows))}"
    return _described(name, row.reason.removeprefix(feature))


def _described(name: str, text: str) -> str:
    return f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"


def _tests_of(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


def _versions(report: Report) -> Iterator[str]:
    yield _fact("suite", report.suite)
    yield _fact("segkit", report.segkit)
    yield _fact("Python", report.python)
    yield _fact("started", f"{report.started}, took {report.seconds:.0f} s")
    for backend in report.backends:
        candidate = backend.candidate
        runtime = ", ".join(f"{name} {version}" for name, version in candidate.runtime.items())
        told = (candidate.plugin and f"plugin of {candidate.plugin}", runtime and f"runs on {runtime}")
        yield _fact(candidate.title, "; ".join(filter(None, told)))


def _fact(name: str, text: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n'
