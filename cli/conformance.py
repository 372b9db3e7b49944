"""`segkit conformance`: every format held against PyTorch, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from segkit.cli.command import Command, Option, Values, from_rows
from segkit.cli.output import Output
from segkit.core.notices import visible

if TYPE_CHECKING:
    from segkit.conformance.report import BackendReport, Report
    from segkit.conformance.report_matrix import Cell

DETAILS = (
    "Runs the suite that every format passes, ours and a plugin's: declarations, exports, metadata, raw outputs, "
    "objects, behaviour, speed. Each format has a process of its own, so a crash is one red row. What a format "
    "declares as a gap is shown as that, never as passed.\n\nThe exit code is 0 if everything passed, 1 if something "
    "failed, 2 if what was given cannot be used."
)

EPILOG = """[bold]Examples[/bold]
  segkit conformance
  segkit conformance --format onnx --stage raw --precision fp16
  segkit conformance model=best.pt data=data.yaml report=out/
  segkit conformance fail_on=gap --json"""

STYLES = {"failed": "red", "passed": "green", "gap": "dim", "skipped": "dim", "not tested": "dim"}

NARROW = 140
"""Columns of a terminal below which the matrix is a list."""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the suite."""
    from segkit.conformance.arguments import PRECISIONS, STAGES, conformance_options
    from segkit.core.backend.registry import default_registry

    choices = {"format": tuple(default_registry().names()), "precision": PRECISIONS, "stage": STAGES}
    options = [_with_choices(option, choices) for option in from_rows(conformance_options())]
    return Command("conformance", "conformance", run, (), tuple(options), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Run the suite and show the matrix; 1 if something failed."""
    from segkit._machine import processor
    from segkit._paths import model_path
    from segkit.conformance.arguments import ConformanceArguments
    from segkit.conformance.runner import ConformanceRun
    from segkit.core.backend.options import validate

    args = validate(ConformanceArguments, values, "conformance")
    if args.model:
        args = args.model_copy(update={"model": str(model_path(args.model))})
    job = ConformanceRun(args, machine=processor())
    with closing(iter(job)) as backends:
        for backend in backends:
            output.notice(f"{backend.candidate.name}: {backend.candidate.title}")
            with output.counter(lambda backend=backend: backend.total) as counter:  # type: ignore[misc]
                for row in backend:
                    counter.advance("tests")
                    if row.outcome == "failed":
                        output.notice(f"  failed: {row}")
            output.notice(f"  {backend.report().summary()}")
    report = job.report
    if output.json:
        output.document(report.to_plain() | {"report": str(job.folder) if job.folder else None})
    else:
        _show(report, output)
        if job.folder:
            output.line(f"The report: {job.folder / 'index.html'}")
        if report.passes() and not report.passes(args.fail_on):
            output.line(f"It fails because of declared gaps: fail_on={args.fail_on}.")
    return 0 if report.passes(args.fail_on) else 1


def _show(report: Report, output: Output) -> None:
    output.line()
    (_table if output.console.width >= NARROW else _lists)(report, output)
    output.block("Failed", (text for backend in report.backends for text in _failed(backend)))
    output.block("Declared gaps", (text for backend in report.backends for text in _gaps(backend)))
    skipped = (f"{b.candidate.name}: {b.summary()}" for b in report.backends if b.state == "not tested")
    output.block("Not tested", skipped)
    output.line()
    output.line(f"{report.verdict()} Suite {report.suite}, segkit {report.segkit}, Python {report.python}.")


def _table(report: Report, output: Output) -> None:
    from rich.text import Text

    from segkit.conformance.report_matrix import matrix_of

    matrix = matrix_of(report)
    table = output.table("format", "precision", *matrix.stages)
    last = ""
    for line in matrix.lines:
        backend = line.backend
        name, last = ("" if backend.candidate.name == last else backend.candidate.name), backend.candidate.name
        if backend.rows:
            cells = [Text("\n".join(_parts(cell)), STYLES.get(cell.state, "")) for cell in line.cells]
            table.add_row(name, line.label, *cells)
        else:
            table.add_row(name, Text(backend.state, STYLES[backend.state]))
    output.show(table)


def _lists(report: Report, output: Output) -> None:
    """The same for a narrow terminal, on which so many columns cannot be read."""
    from segkit.conformance.report_matrix import matrix_of

    for line in matrix_of(report).lines:
        told = [f"{cell.stage}: {', '.join(_parts(cell))}" for cell in line.cells if cell.rows]
        output.block(f"{line.backend.candidate.name}, {line.label}", told or [line.backend.state])


def _parts(cell: Cell) -> list[str]:
    gaps = cell.beside().partition(", ")[0]  # what is skipped beside them is in the files
    state = "failed" if cell.state == "failed" else ""
    parts = [f"{state} {cell.count()}".strip(), gaps if "gap" in gaps else "", cell.figure()]
    return [visible(part) for part in parts if part]


def _failed(backend: BackendReport) -> Iterator[str]:
    if backend.problem:
        yield f"{backend.candidate.name}: {backend.problem}"
    for row in backend.failed():
        first, *others = row.told()
        yield f"{backend.candidate.name} {row}: {first}"
        yield from (f"  {line}" for line in others)


def _gaps(backend: BackendReport) -> Iterator[str]:
    for (kind, reason), rows in backend.gaps().items():
        yield f"{backend.candidate.name} ({kind}; {len(rows)} test{'' if len(rows) == 1 else 's'}): {reason}"


def _with_choices(option: Option, choices: dict[str, tuple[str, ...]]) -> Option:
    return replace(option, choices=choices.get(option.name, ()))
