"""`segkit val`: how good a model is on a labelled data set, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output
from segkit.core.notices import visible

if TYPE_CHECKING:
    from rich.table import Table

    from segkit.core.metrics import SegmentationMetrics

DETAILS = (
    "The data set is a data.yaml, a COCO instances .json, a folder with one of them, or the name of a known one; "
    "without it the model's own is taken, where the model remembers one. Curves, the confusion matrix and pictures go "
    "to runs/segment/val; plots=False or --no-plots leaves that out."
)

EPILOG = """[bold]Examples[/bold]
  segkit val model=yolov8n-seg.onnx data=coco128-seg.yaml
  segkit val yolov8n-seg.pt data.yaml --split test --save-json
  segkit segment val model=best.pt
  segkit val best.onnx annotations/instances_val2017.json --no-plots --json"""

FIGURES = ("P", "R", "mAP50", "mAP50-95")
KINDS = ("Box", "Mask")
COUNTS = ("Class", "Images", "Instances")

SPARE = ("Images", "Instances", "R", "mAP50")
"""Columns that a narrow terminal does without, the first one first; --json has them all."""

GAP = 2
"""Characters between two columns."""

SHORTEST = 10
"""Characters of a class name that stay in a narrow terminal."""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's val."""
    from segkit._val import val_options

    model = Argument(Positional("model"), "weights (.pt, .safetensors) or an exported artefact")
    data = Argument(Positional("data", required=False), "data.yaml, COCO .json, a folder with one, or a known name")
    return Command("val", "val", run, (model, data), from_rows(val_options()), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Validate, then show the table, the speed, and where the results are."""
    from segkit import YOLO

    path, data = values.pop("model"), values.pop("data", None)
    model = YOLO(path)  # a download shows its own progress, as the validation does
    metrics = model.val(data=data, **values)
    if output.json:
        from segkit.core.validation.document import to_plain

        output.document({"model": path, **to_plain(metrics)})
        return
    _show(metrics, output, every=values.get("verbose", True))


def _show(metrics: SegmentationMetrics, output: Output, *, every: bool) -> None:
    """A row for all classes, and one for each."""
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
