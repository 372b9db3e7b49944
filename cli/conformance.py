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
    from rich.table import Table
    from rich.text import Text

    from segkit.conformance.report import BackendReport, Report
    from segkit.conformance.report_matrix import Cell

DETAILS = (
    "Runs the suite that every format passes, ours and a plugin's: declarations, exports, metadata, raw outputs, "
    "objects, behaviour, speed. Each format has a process of its own, so a crash is one red row. What a format "
    "declares as a gap is shown as that, never as passed.\n\nThe exit code is 0 if nothing failed, 1 if something "
    "failed or nothing was tested, 2 if what was given cannot be used, 130 after Ctrl-C."
)

EPILOG = """[bold]Examples[/bold]
  segkit conformance
  segkit conformance --format onnx --stage raw --precision fp16
  segkit conformance model=best.pt data=data.yaml report=out/
  segkit conformance fail_on=gap --json"""

STYLES = {"failed": "red", "passed": "green", "gap": "dim", "skipped": "dim", "not tested": "dim", "not run": "dim"}

WRAPPED, ANY = 80, 10_000
"""Columns of a terminal on which cells of the turned matrix may wrap: on fewer, words would be cut; and of a very wide
one.
"""


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
    return 0 if report.passes() else 1


def _show(report: Report, output: Output) -> None:
    _matrix(report, output)
    output.block("Failed", (text for backend in report.backends for text in _failed(backend)))
    output.block("Declared gaps", (text for backend in report.backends for text in _gaps(backend)))
    not_run = [backend for backend in report.backends if backend.state == "not run"]
    output.block("Could not be run here", (f"{b.candidate.name}: {b.why_not()}" for b in not_run))
    skipped = (f"{b.candidate.name}: {b.summary()}" for b in report.backends if b.state == "not tested")
    output.block("Not tested", skipped)
    output.line()
    output.line(report.verdict())
    output.line(f"Suite {report.suite}, segkit {report.segkit}, Python {report.python}.")


def _matrix(report: Report, output: Output) -> None:
    """With a column for each stage where there is room, else with one for each precision; at worst as a list."""
    from rich.measure import Measurement

    room, options = output.console.width, output.console.options.update(max_width=ANY)
    for table, smallest in ((_wide(report, output), ANY), (_turned(report, output), WRAPPED)):
        needed = Measurement.get(output.console, options, table)
        if (needed.minimum if room >= smallest else needed.maximum) <= room:
            output.line()
            output.show(table)
            return
    _lists(report, output)


def _wide(report: Report, output: Output) -> Table:
    """A row for each format and precision, a column for each stage."""
    from rich.text import Text

    from segkit.conformance.report_matrix import matrix_of

    matrix = matrix_of(report)
    table = output.table("format", "precision", *matrix.stages)
    last = ""
    for line in matrix.lines:
        backend = line.backend
        name, last = ("" if backend.candidate.name == last else backend.candidate.name), backend.candidate.name
        if backend.rows:
            table.add_row(name, line.label, *map(_drawn, line.cells))
        else:
            table.add_row(name, Text(backend.state, STYLES[backend.state]))
    return table


def _turned(report: Report, output: Output) -> Table:
    """A row for each format and stage, a column for each precision: there are fewer of these."""
    from rich.text import Text

    from segkit.conformance.report_matrix import by_precision, matrix_of

    matrix = matrix_of(report)
    precisions, turned = by_precision(matrix)
    table = output.table("format", "stage", *precisions)
    for column in table.columns[:2]:
        column.no_wrap = True
    for backend, rows in turned:
        name = backend.candidate.name
        for stage, cells in rows:
            table.add_row(name, stage, *map(_drawn, cells))
            name = ""
        if not rows:
            table.add_row(name, Text(backend.state, STYLES[backend.state]))
    return table


def _drawn(cell: Cell) -> Text:
    from rich.text import Text

    return Text("\n".join(_parts(cell)), STYLES.get(cell.state, ""))


def _lists(report: Report, output: Output) -> None:
    """The same without columns."""
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
        if backend.state == "not run" and backend.obstacle in rows:  # that has a block of its own
            continue
        yield f"{backend.candidate.name} ({kind}; {len(rows)} test{'' if len(rows) == 1 else 's'}): {reason}"


def _with_choices(option: Option, choices: dict[str, tuple[str, ...]]) -> Option:
    return replace(option, choices=choices.get(option.name, ()))
