"""`segkit predict`: a line for every picture, then where the results are and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit import Results
    from segkit.core.errors import SourceError

DETAILS = (
    """The pictures with the objects drawn in go to runs/segment/predict; save=False or --no-save leaves that out."""
)

EPILOG = """[bold]Examples[/bold]
  segkit predict model=yolov8n-seg.pt source=bus.jpg
  segkit predict yolov8n-seg.onnx pictures/*.jpg --conf 0.5 --classes 0,2
  segkit predict yolov8n-seg.pt pictures/ --save-txt --no-save --device cuda
  segkit predict yolov8n-seg.pt bus.jpg --json"""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's predict."""
    from segkit._options import predict_options

    model = Argument(Positional("model"), "weights (.pt, .safetensors) or an exported artefact")
    source = Argument(Positional("source", many=True), "pictures: files, folders, patterns, addresses")
    options = from_rows(predict_options())
    return Command("predict", "predict", run, (model, source), options, DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Predict and render each result as it comes."""
    from segkit import YOLO

    path, sources = values.pop("model"), values.pop("source")
    talkative = values.pop("verbose", True)
    values.pop("stream", None)  # results are always rendered one by one
    unreadable: list[SourceError] = []

    def skip(error: SourceError) -> None:
        unreadable.append(error)
        output.notice(f"skipped: {error}")

    options = {"save": True, **values, "verbose": False, "on_error": skip}
    with output.working(f"loading {path}"):
        results = YOLO(path).predict(sources if len(sources) > 1 else sources[0], stream=True, **options)
    summary = _Summary()
    with output.counter("pictures", results.total) as advance:
        for result in results:
            summary.add(result, keep=output.json)
            if talkative:
                output.line(_line(result))
            advance()
    if output.json:
        errors = [{"path": str(error.source), "error": str(error)} for error in unreadable]
        output.document({"model": path, "save_dir": summary.folder, "images": summary.rows, "unreadable": errors})
        return
    if summary.count:
        output.line(summary.speed())
    if unreadable:
        output.line(f"{len(unreadable)} of {summary.count + len(unreadable)} pictures could not be read")
    if summary.folder:
        output.line(f"Results saved to {summary.folder}")


class _Summary:
    """What the closing lines say of all results; the rows of the JSON document only if they are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.folder: str | None = None
        self.rows: list[dict[str, Any]] = []
        self._milliseconds: dict[str, float] = {}

    def add(self, result: Results, *, keep: bool) -> None:
        self.count += 1
        self.folder = result.save_dir or self.folder
        for stage, value in result.speed.items():
            self._milliseconds[stage] = self._milliseconds.get(stage, 0.0) + (value or 0.0)
        if keep:
            height, width = result.orig_shape
            self.rows.append(
                {
                    "path": result.path,
                    "width": width,
                    "height": height,
                    "speed": dict(result.speed),
                    "objects": result.summary(),
                }
            )

    def speed(self) -> str:
        """The mean time of every stage."""
        stages = ", ".join(f"{value / self.count:.1f} ms {stage}" for stage, value in self._milliseconds.items())
        return f"Speed: {stages} per picture" + (f" ({self.count} pictures)" if self.count > 1 else "")


def _line(result: Results) -> str:
    """'bus.jpg  810x1080  4 persons, 1 bus  52.3 ms', the size as width x height."""
    height, width = result.orig_shape
    total = sum(value or 0.0 for value in result.speed.values())
    return f"{result.path}  {width}x{height}  {result.verbose()}  {total:.1f} ms"
