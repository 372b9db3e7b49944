"""The long tables of the page of a report: on a narrow screen each row of theirs is a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from segkit.conformance.report import BackendReport, Outcome, Report, Row
from segkit.conformance.report_matrix import closeness, number
from segkit.conformance.stage import Figure

LISTED = 12
"""How many figures are listed as nearest to their limits."""


def figures_table(report: Report) -> str:
    """The figures that use up most of their bounds, one for each name and format."""
    found: dict[tuple[str, str, str], tuple[Row, Figure]] = {}
    for row in report.rows():
        for figure in row.figures:
            key = row.format, row.precision, figure.name
            if closeness(figure) >= 0 and (key not in found or closeness(figure) > closeness(found[key][1])):
                found[key] = row, figure
    listed = sorted(found.values(), key=lambda pair: closeness(pair[1]), reverse=True)[:LISTED]
    if not listed:
        return ""
    rows = [
        {
            "figure": (figure.name, ""),
            "value": (number(figure), "" if figure.within else "bad"),
            "limit": (figure.bound, ""),
            "used up": (_share(figure), ""),
            "format": (f"{row.format} {row.precision}", ""),
            "test": (str(row), ""),
        }
        for row, figure in listed
    ]
    note = "Used up: how much of the error that the limit allows; a test fails beyond 100%."
    return f'<p class="note">{note}</p>\n{_table(rows)}\n'


def _table(rows: Sequence[Mapping[str, tuple[str, str]]]) -> str:
    """Rows of column → (text, class). On a narrow screen each row is a card that has the names of columns in it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in rows[0])
    lines = []
    for row in rows:
        (first, (text, _)), *others = row.items()
        cells = [f'<th scope="row" data-name="{first}">{escape(text)}</th>']
        cells += [
            f'<td class="{kind or "plain"}" data-name="{name}">{escape(text)}</td>' if text else "<td></td>"
            for name, (text, kind) in others
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>\n")
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide"><table class="list">\n{body}</table></div>'


def _share(figure: Figure) -> str:
    share = closeness(figure)
    return f"{share:.0%}" if share < 100 else "beyond"


def words_of(figure: Figure) -> str:
    """A figure with its limit."""
    return f"{figure.name} {number(figure)}" + (f" (limit {figure.bound})" if figure.bound else "")


def tests_table(backend: BackendReport) -> str:
    """Every test of a format, folded up."""
    if not backend.rows:
        return ""
    title = f"{backend.candidate.title}: {backend.summary()}"
    return f"<details><summary>{escape(title)}</summary>\n{_table(list(map(_test, backend.rows)))}</details>\n"


def _test(row: Row) -> Mapping[str, tuple[str, str]]:
    figures = "; ".join(map(words_of, row.figures))
    told = "; ".join(filter(None, ("" if row.outcome is Outcome.PASSED else row.in_one_line(), figures)))
    return {
        "test": (row.test, ""),
        "case": (row.case, ""),
        "stage": (row.stage, ""),
        "outcome": (row.outcome.value, row.outcome.value),
        "seconds": (f"{row.seconds:.2f}", ""),
        "reason and figures": (told, ""),
    }
