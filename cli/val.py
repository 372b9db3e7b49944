"""`segkit val`: how good a model is on a labelled data set, class by class."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output
from segkit.cli.scores import show_scores

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
    show_scores(metrics, output, every=values.get("verbose", True))
