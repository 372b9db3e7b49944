"""A report as JUnit XML, which CI servers read: a suite a format, a case a test, figures as properties."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from segkit.conformance.report import BackendReport, Outcome, Report, Row
from segkit.conformance.report_matrix import number

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not have."""


def junit_of(report: Report) -> str:
    """The document."""
    root = ElementTree.Element("testsuites", name="segkit conformance", time=f"{report.seconds:.3f}")
    for backend in report.backends:
        _suite(root, report, backend)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, report: Report, backend: BackendReport) -> None:
    counts, candidate = backend.counts(), backend.candidate
    failing = [row for row in report.failing_gaps() if row in backend.rows]
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=candidate.name,
        tests=str(len(backend.rows)),
        failures=str(counts[Outcome.FAILED] + len(failing)),
        errors=str(int(bool(backend.problem))),
        skipped=str(counts[Outcome.GAP] + counts[Outcome.SKIPPED] - len(failing)),
        time=f"{backend.seconds:.3f}",
        timestamp=report.started,
    )
    versions = {"suite": report.suite, "segkit": report.segkit, "plugin": candidate.plugin, "python": report.python}
    facts = {"command": report.command(), "state": backend.state}
    facts |= {"why not": why} if (why := backend.why_not()) else {}
    _properties(suite, facts | versions | dict(candidate.runtime) | dict(report.machine))
    for row in backend.rows:
        _case(suite, row, f"fail_on={report.fail_on}" if row in failing else "")
    if backend.problem:
        case = ElementTree.SubElement(suite, "testcase", classname=candidate.name, name="the run as a whole")
        _text(ElementTree.SubElement(case, "error", message=_legal(backend.problem)), backend.problem)


def _case(suite: ElementTree.Element, row: Row, fails: str) -> None:
    name = row.test + (f" [{row.case}]" if row.case else "")
    place = ".".join(filter(None, (row.format, row.stage, row.precision)))
    case = ElementTree.SubElement(suite, "testcase", classname=place, name=_legal(name), time=f"{row.seconds:.3f}")
    _properties(case, {f.name: number(f) + (f" (bound {f.bound})" if f.bound else "") for f in row.figures})
    if row.outcome is Outcome.FAILED:
        _text(ElementTree.SubElement(case, "failure", message=_legal(row.in_one_line())), row.message)
    elif fails:
        ElementTree.SubElement(case, "failure", type="gap", message=_legal(f"{fails}: {row.in_one_line()}"))
    elif row.outcome is not Outcome.PASSED:
        gap = row.outcome is Outcome.GAP
        kind = {"type": "pytest.xfail" if gap else "pytest.skip"}  # as pytest's own reports say it
        ElementTree.SubElement(case, "skipped", kind, message=_legal(row.in_one_line()))


def _properties(parent: ElementTree.Element, facts: dict[str, str]) -> None:
    if facts:
        holder = ElementTree.SubElement(parent, "properties")
        for name, value in facts.items():
            ElementTree.SubElement(holder, "property", name=_legal(name), value=_legal(value))


def _text(element: ElementTree.Element, text: str) -> None:
    element.text = _legal(text)


def _legal(text: str) -> str:
    return _ILLEGAL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
