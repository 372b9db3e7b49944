"""`segkit demo`: from nothing to a trained model in every format, with a page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.cli.command import Command, Values, from_rows
from segkit.cli.output import Output
from segkit.core.notices import visible

if TYPE_CHECKING:
    from segkit._demo_report import DemoReport

DETAILS = (
    "Generates pictures of shapes, trains a tiny network on them (about two minutes on two cores), validates it on "
    "pictures held out, exports it to every installed format, measures and compares them, and writes one page with "
    "figures and pictures to runs/demo. No network, no data and no weights are needed.\n\nThe exit code is 1 if the "
    "mask mAP50 on the pictures held out is below the bound, or a format failed."
)

EPILOG = """[bold]Examples[/bold]
  segkit demo
  segkit demo --format onnx --seed 7
  segkit demo --pictures 64 --held-out 16 --epochs 1 --bound 0     # what it does, in half a minute"""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's demo."""
    from segkit._demo_arguments import demo_options

    return Command("demo", "demo", run, (), from_rows(demo_options()), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Run it and show the table; 1 if the model is not good enough, or a format failed."""
    from segkit._demo import demo

    found = demo(_overlap, **values, report=output.notice)
    if output.json:
        output.document(found.to_plain())
    else:
        _show(found, output)
    return 0 if found.passed else 1


def _overlap(weights: Path, file: Path, pictures: Path) -> Mapping[str, float | None]:
    from segkit.conformance.comparing import ComparisonRun

    with ComparisonRun([weights, file], str(pictures), save=False) as job:
        for _ in job:
            pass
        return job.comparisons[0].totals()


def _show(found: DemoReport, output: Output) -> None:
    from segkit._demo_report import COLUMNS

    output.line()
    table = output.table(*(column.title for column in COLUMNS), right=[column.title for column in COLUMNS[1:]])
    for row in found.rows:
        if row.works:
            table.add_row(*(visible(column.text(row)) for column in COLUMNS))
    output.show(table)
    output.block(
        "Not in the table", (f"{row.row.name} ({row.state}): {row.reason}" for row in found.rows if not row.works)
    )
    output.line()
    output.line(found.verdict)
    output.line(f"The page: {found.page}")
