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
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=candidate.name,
        tests=str(len(backend.rows)),
        failures=str(counts[Outcome.FAILED]),
        errors=str(int(bool(backend.problem))),
        skipped=str(counts[Outcome.GAP] + counts[Outcome.SKIPPED]),
        time=f"{backend.seconds:.3f}",
        timestamp=report.started,
    )
    versions = {"suite": report.suite, "segkit": report.segkit, "plugin": candidate.plugin, "python": report.python}
    _properties(suite, versions | dict(candidate.runtime) | dict(report.machine))
    for row in backend.rows:
        _case(suite, row)
    if backend.problem:
        case = ElementTree.SubElement(suite, "testcase", classname=candidate.name, name="the run as a whole")
        _text(ElementTree.SubElement(case, "error", message=_legal(backend.problem)), backend.problem)


def _case(suite: ElementTree.Element, row: Row) -> None:
    name = row.test + (f" [{row.case}]" if row.case else "")
    place = ".".join(filter(None, (row.format, row.stage, row.precision)))
    case = ElementTree.SubElement(suite, "testcase", classname=place, name=_legal(name), time=f"{row.seconds:.3f}")
    _properties(case, {f.name: number(f) + (f" (bound {f.bound})" if f.bound else "") for f in row.figures})
    if row.outcome is Outcome.FAILED:
        first = (row.message.splitlines() or [""])[0]
        _text(ElementTree.SubElement(case, "failure", message=_legal(first)), row.message)
    elif row.outcome is not Outcome.PASSED:
        gap = row.outcome is Outcome.GAP
        kind = {"type": "pytest.xfail" if gap else "pytest.skip"}  # as pytest's own reports say it
        reason = f"{row.kind}: {row.reason}" if gap else row.reason
        ElementTree.SubElement(case, "skipped", kind, message=_legal(reason))


def _properties(parent: ElementTree.Element, facts: dict[str, str]) -> None:
    if facts:
        holder = ElementTree.SubElement(parent, "properties")
        for name, value in facts.items():
            ElementTree.SubElement(holder, "property", name=_legal(name), value=_legal(value))


def _text(element: ElementTree.Element, text: str) -> None:
    element.text = _legal(text)


def _legal(text: str) -> str:
    return _ILLEGAL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
