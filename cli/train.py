"""`segkit train`: train a model, then show how good it is and where it lies."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output
from segkit.cli.scores import show_scores

DETAILS = (
    "The model is an architecture (yolov8n-seg.yaml, five sizes: n, s, m, l, x) with random weights, or weights to go "
    "on from. The data set is a data.yaml, a COCO instances .json, a folder with one of them, or a known name. "
    "Checkpoints, curves and pictures go to runs/segment/train.\n\nCtrl-C saves where the run is; resume=True goes on "
    "from there."
)

EPILOG = """[bold]Examples[/bold]
  segkit train data=coco128-seg.yaml model=yolov8n-seg.yaml epochs=100 imgsz=640
  segkit train data=coco128-seg.yaml model=yolov8n-seg.pt epochs=100 imgsz=640
  segkit train data=my.yaml model=yolov8n-seg.yaml pretrained=yolov8n-seg.pt batch=32 device=0
  segkit train model=runs/segment/train/weights/last.pt resume=True"""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's train."""
    from segkit._train import change_options, train_options

    about = "an architecture (.yaml) or weights (.pt, .safetensors); default: what cfg or resume name"
    model = Argument(Positional("model", required=False), about)
    rows, changes = train_options(), set(change_options())
    options = from_rows(row for row in rows if row.name not in changes)
    options += from_rows((row for row in rows if row.name in changes), panel="How samples are changed")
    return Command("train", "train", run, (model,), options, DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Train, then show the scores of the best weights."""
    from segkit import YOLO
    from segkit._train import model_of, speaks

    path = model_of(values)
    model = YOLO(path)
    metrics = model.train(**values)
    if not speaks():
        return
    if output.json:
        from segkit.core.validation.document import to_plain

        output.document({"model": str(model.path), **(to_plain(metrics) if metrics is not None else {})})
        return
    if metrics is not None:
        show_scores(metrics, output, every=values.get("verbose", True))
    output.line(f"Best weights: {model.path}")
