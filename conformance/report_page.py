"""A report as one page: a single file without scripts, whose pictures are in it and which links to nothing."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template

from segkit.conformance.report import BackendReport, Image, Outcome, Report, Row
from segkit.conformance.report_matrix import Cell, Line, Matrix, closeness, matrix_of, nearest, number
from segkit.conformance.stage import Figure

TEMPLATE = Path(__file__).with_name("report_page.html")
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}

WORST = 12
"""How many cases with pictures the page has, and how many figures are listed as nearest to their bounds."""


def page_of(report: Report, folder: Path) -> str:
    """The page. Every text in it is escaped; `folder` is what the paths of pictures are relative to."""
    matrix = matrix_of(report)
    shown = worst_shown(report.rows())
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        suite=escape(report.suite),
        verdict=escape(report.verdict()),
        state="good" if report.passes() else "bad",
        head="".join(f'<th scope="col">{escape(stage)}</th>' for stage in matrix.stages),
        matrix="".join(_groups(matrix)),
        failures=_section("What failed", "".join(_failures(report))),
        worst=_section(f"The worst {len(shown)} cases with pictures", "".join(_shown(row, folder) for row in shown)),
        figures=_section("Nearest to their bounds", _figures(report)),
        gaps=_section("Not tested", "".join(_gaps(report))),
        tests="".join(map(_tests, report.backends)),
        versions="".join(_versions(report)),
        machine="".join(_fact(name, text) for name, text in report.machine.items()),
        asked=escape(_command(report)),
    )


def worst_shown(rows: Iterable[Row]) -> list[Row]:
    """Tests with pictures: those that failed first, then by how much of its bound the worst figure uses up."""
    seen = [row for row in rows if row.pictures]

    def badness(row: Row) -> tuple[bool, float]:
        figure = nearest(row.figures)
        return row.outcome is Outcome.FAILED, closeness(figure) if figure else -1.0

    return sorted(seen, key=badness, reverse=True)[:WORST]


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
            yield f'<h3 class="bad">{escape(name)}</h3><pre>{escape(row.message)}</pre>\n'


def _shown(row: Row, folder: Path) -> str:
    figure = nearest(row.figures)
    told = f" {_told(figure)}" if figure else ""
    state = '<span class="bad">failed</span>' if row.outcome is Outcome.FAILED else '<span class="good">passed</span>'
    pictures = "".join(_picture(image, folder) for image in row.pictures)
    title = f"{row.format}, {row}" + (f", {row.precision}" if row.precision and row.precision not in row.case else "")
    return f'<h3>{escape(title)} {state}</h3><p class="note">{escape(told)}</p><div class="row">{pictures}</div>\n'


def _picture(image: Image, folder: Path) -> str:
    path = folder / image.path
    kind = KINDS.get(path.suffix.lower(), "png")
    data = b64encode(path.read_bytes()).decode("ascii")
    source = f"data:image/{kind};base64,{data}"
    title = escape(image.title)
    return f'<figure><img alt="{title}" src="{source}"><figcaption>{title}</figcaption></figure>'


def _figures(report: Report) -> str:
    """The figures that use up most of their bounds, one for each name and format."""
    found: dict[tuple[str, str, str], tuple[Row, Figure]] = {}
    for row in report.rows():
        for figure in row.figures:
            key = row.format, row.precision, figure.name
            if closeness(figure) >= 0 and (key not in found or closeness(figure) > closeness(found[key][1])):
                found[key] = row, figure
    listed = sorted(found.values(), key=lambda pair: closeness(pair[1]), reverse=True)[:WORST]
    if not listed:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(figure.name)}</th><td class="{"" if figure.within else "bad"}">'
        f"{escape(number(figure))}</td><td>{escape(figure.bound)}</td><td>{_share(figure)}</td>"
        f"<td>{escape(row.format)} {escape(row.precision)}</td><td>{escape(str(row))}</td></tr>\n"
        for row, figure in listed
    )
    head = "".join(f"<th>{name}</th>" for name in ("figure", "value", "bound", "of the bound", "format", "test"))
    return (
        f'<div class="wide"><table class="list">\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n'
    )


def _share(figure: Figure) -> str:
    share = closeness(figure)
    return f"{share:.0%}" if share < 100 else "beyond"


def _told(figure: Figure) -> str:
    return f"{figure.name}: {number(figure)}" + (f" ({figure.bound})" if figure.bound else "")


def _gaps(report: Report) -> Iterator[str]:
    for backend in report.backends:
        entries = [
            f"<dt>{escape(kind.replace('-', ' '))}, {_tests_of(len(rows))}</dt><dd>{escape(reason)}</dd>"
            for (kind, reason), rows in backend.gaps().items()
        ]
        skipped = Counter(row.reason for row in backend.rows if row.outcome is Outcome.SKIPPED)
        entries += [
            f"<dt>skipped, {_tests_of(count)}</dt><dd>{escape(reason)}</dd>" for reason, count in skipped.most_common()
        ]
        if backend.candidate.missing:
            entries.append(f"<dt>not installed</dt><dd>{escape(', '.join(backend.candidate.missing))}</dd>")
        if entries:
            yield f"<h3>{escape(backend.candidate.title)}</h3><dl>{''.join(entries)}</dl>\n"


def _tests_of(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


def _tests(backend: BackendReport) -> str:
    if not backend.rows:
        return ""
    rows = "".join(map(_test, backend.rows))
    head = "".join(f"<th>{name}</th>" for name in ("stage", "test", "case", "", "seconds", "figures"))
    return (
        f"<details><summary>{escape(backend.candidate.title)}: {escape(backend.summary())}</summary>\n"
        f'<div class="wide"><table class="list">\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
        "</details>\n"
    )


def _test(row: Row) -> str:
    told = row.reason if row.outcome in (Outcome.GAP, Outcome.SKIPPED) else "; ".join(map(_told, row.figures))
    words = "".join(f"<td>{escape(word)}</td>" for word in (row.stage, row.test, row.case))
    outcome = f'<td class="{row.outcome}">{row.outcome}</td>'
    return f"<tr>{words}{outcome}<td>{row.seconds:.2f}</td><td>{escape(told)}</td></tr>\n"


def _versions(report: Report) -> Iterator[str]:
    yield _fact("suite", report.suite)
    yield _fact("segkit", report.segkit)
    yield _fact("Python", report.python)
    yield _fact("when", f"{report.started}, {report.seconds:.0f} s")
    for backend in report.backends:
        runtime = ", ".join(f"{name} {version}" for name, version in backend.candidate.runtime.items())
        yield _fact(
            backend.candidate.title, "; ".join(filter(None, (f"plugin of {backend.candidate.plugin}", runtime)))
        )


def _fact(name: str, text: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n'


def _command(report: Report) -> str:
    """The run, as it is typed."""
    options = {name: ",".join(value) if isinstance(value, list) else value for name, value in report.asked.items()}
    return shlex.join(["segkit", "conformance", *(f"{name}={value}" for name, value in options.items())])
