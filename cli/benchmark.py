"""`segkit benchmark`: every format of a model exported, timed and scored, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values, from_rows
from segkit.cli.output import Output
from segkit.core.notices import visible

if TYPE_CHECKING:
    from segkit._benchmark_report import BenchmarkReport, BenchmarkRow, Column

DETAILS = (
    "Exports go to a temporary folder. Every file is timed in turns after a warm-up, and scored on the same pictures "
    "in the same square input. A format that fails is a row with the reason, and the others go on."
)

EPILOG = """[bold]Examples[/bold]
  segkit benchmark model=yolov8n-seg.pt data=coco128-seg.yaml
  segkit benchmark yolov8n-seg.pt data=data.yaml format=onnx half int8 --pictures 50
  segkit benchmark yolov8n-seg.pt mine.onnx data=data.yaml --no-export --strict"""

STRICT = Option("strict", Kind.FLAG, "exit with 1 if a format failed, or its mask AP is beyond the bound")

COLOURS = {"failed": "red", "unavailable": "dim"}

SPARE = ("first ms", "Δ box", "load ms", "export s", "MB", "total ms")
"""Columns that a narrow terminal does without, the first one first; the files have them all."""

GAP = 3
"""Characters between two columns."""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those that the sdk accepts."""
    from segkit.core.validation.benchmark_arguments import benchmark_options

    models = Argument(Positional("model", many=True), "weights, and files to measure beside their exports")
    return Command("benchmark", "benchmark", run, (models,), (*from_rows(benchmark_options()), STRICT), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Measure and report; 1 if nothing could be measured, or with strict if something failed or is beyond the bound."""
    from segkit._benchmark import benchmark

    models, strict = values.pop("model"), values.pop("strict", False)
    found = benchmark(models, **values, report=output.notice)
    if output.json:
        output.document(found.to_plain() | {"save_dir": str(found.save_dir) if found.save_dir else None})
    else:
        _show(found, output)
    return 1 if not found.measured or (strict and not found.within) else 0


def _show(found: BenchmarkReport, output: Output) -> None:
    columns = _fitting(found.rows, output.console.width)
    table = output.table(*(column.title for column in columns), right=[column.title for column in columns[1:]])
    for row in found.rows:
        style = COLOURS.get(row.state, "" if row.within in (None, True) else "yellow")
        table.add_row(*(visible(column.text(row)) for column in columns), style=style)
    output.show(table)
    output.block("Without all figures", (f"{row.name} ({row.state}): {row.reason}" for row in found.rows if row.reason))
    output.block("Beyond the bound", (_beyond(row) for row in found.rows if row.within is False))
    if found.save_dir:
        output.line()
        output.line(f"Table and plot saved to {found.save_dir}")


def _fitting(rows: Sequence[BenchmarkRow], width: int) -> list[Column]:
    """The columns of a table that is no wider than `width`: numbers that wrap cannot be read."""
    from segkit._benchmark_report import COLUMNS

    columns, spare = list(COLUMNS), iter(SPARE)
    while sum(_width(column, rows) + GAP for column in columns) - GAP > width and (title := next(spare, None)):
        columns = [column for column in columns if column.title != title]
    return columns


def _width(column: Column, rows: Sequence[BenchmarkRow]) -> int:
    return max(len(visible(text)) for text in (column.title, *(column.text(row) for row in rows)))


def _beyond(row: BenchmarkRow) -> str:
    return f"{row.name}: mask AP differs by {row.mask_difference:+.4f}"
