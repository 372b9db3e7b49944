"""Scores of a validation as a table: a row for all classes, and one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segkit.cli.output import Output
from segkit.core.notices import visible

if TYPE_CHECKING:
    from rich.table import Table

    from segkit.core.metrics import SegmentationMetrics

FIGURES = ("P", "R", "mAP50", "mAP50-95")
KINDS = ("Box", "Mask")
COUNTS = ("Class", "Images", "Instances")

SPARE = ("Images", "Instances", "R", "mAP50")
"""Columns that a narrow terminal does without, the first one first; --json has them all."""

GAP = 2
"""Characters between two columns."""

SHORTEST = 10
"""Characters of a class name that stay in a narrow terminal."""


def show_scores(metrics: SegmentationMetrics, output: Output, *, every: bool) -> None:
    """Show them, with the speed and where the results are; `every`: each class, not only all of them."""
    kinds = KINDS[: len(metrics.averages)]
    figures = [f"{kind}-{figure}" for kind in kinds for figure in FIGURES]
    rows = [_all(metrics), *(metrics.summary() if every else ())]
    cells = [[visible(str(row[name])) for name in COUNTS] + [f"{row[name]:.3f}" for name in figures] for row in rows]
    heads = [
        *COUNTS,
        *(name.replace("-", " ", 1) if name.endswith("-P") else name.partition("-")[2] for name in figures),
    ]
    output.show(_table(heads, cells, output))
    speed = ", ".join(f"{value:.1f} ms {step}" for step, value in metrics.speed.items())
    output.line(f"Speed: {speed} per picture ({metrics.pictures} pictures)")
    if metrics.save_dir is not None:
        output.line(f"Results saved to {metrics.save_dir}")


def _table(heads: list[str], cells: list[list[str]], output: Output) -> Table:
    """No number is ever broken: where the terminal is narrow columns go, and names are cut."""
    wide = [max(len(row[column]) for row in [heads, *cells]) + GAP for column in range(len(heads))]
    shown = list(range(len(heads)))
    for head in SPARE:
        if sum(wide[column] for column in shown[1:]) + SHORTEST > output.console.width:
            shown = [column for column in shown if heads[column] != head]
    room = output.console.width - sum(wide[column] for column in shown[1:])
    table = output.table(*(heads[column] for column in shown), right=[heads[column] for column in shown[1:]])
    table.padding = (0, 0, 0, GAP - 1)
    for column in table.columns:
        column.no_wrap = True
    table.columns[0].overflow, table.columns[0].max_width = "ellipsis", max(room, SHORTEST)
    for row in cells:
        table.add_row(*(row[column] for column in shown))
    return table


def _all(metrics: SegmentationMetrics) -> dict[str, Any]:
    """The means, as a row of the summary."""
    means = iter(metrics.mean_results())
    row: dict[str, Any] = {"Class": "all", "Images": metrics.pictures, "Instances": int(metrics.objects.sum())}
    return row | {f"{kind}-{figure}": next(means) for kind in KINDS[: len(metrics.averages)] for figure in FIGURES}
