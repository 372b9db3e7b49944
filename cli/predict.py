"""`segkit predict`: a line for every picture and video, then where the results are and where the time went."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from segkit.cli.argv import Kind, Positional, names
from segkit.cli.command import COMMON, Argument, Command, Option, Values, from_rows
from segkit.cli.output import Output
from segkit.cli.report import Report
from segkit.core.errors import SegkitError, SourceError

DETAILS = (
    """The pictures and videos with the objects drawn in go to runs/segment/predict; save=False or --no-save leaves """
    """that out.\n\nA source is a picture or video, a folder, a pattern, an http(s) address, a list of sources """
    """(.txt, .csv; .streams for several streams at once), a camera's number, a stream (rtsp://, rtmp://, tcp://, """
    """udp://), 'screen', or - for standard input.\n\nOptions that only the model's format has are taken, too: """
    """segkit formats NAME lists them, and the devices that it knows."""
)

EPILOG = """[bold]Examples[/bold]
  segkit predict model=yolov8n-seg.pt source=bus.jpg
  segkit predict yolov8n-seg.onnx pictures/*.jpg --conf 0.5 --classes 0,2
  segkit predict yolov8n-seg.pt street.mp4 --vid-stride 2 --save-txt
  segkit predict yolov8n-seg.pt source=0 --show --no-save
  cat bus.jpg | segkit predict yolov8n-seg.onnx - --json"""

STRICT = Option("strict", Kind.FLAG, "exit with code 1 if anything could not be read, after all the rest was done")


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's predict."""
    from segkit._options import predict_options

    model = Argument(Positional("model"), "weights (.pt, .safetensors) or an exported artefact")
    source = Argument(Positional("source", many=True), "pictures, videos, folders, patterns, addresses, streams, …")
    options = (*from_rows(predict_options()), STRICT)
    known = {option.name for option in (*options, *COMMON)} | {model.rule.name, source.rule.name}
    if not names(words) <= known:
        options += _of_one_format(known)
    return Command("predict", "predict", run, (model, source), options, DETAILS, EPILOG)


def _of_one_format(known: set[str]) -> tuple[Option, ...]:
    """The options that only some formats have, when one is given that is not known: plugins take time to ask. Whether
    the model is of such a format is seen when it is opened.
    """
    from segkit._formats import formats

    rows = {row.name: row for info in formats() for row in info.load_options if row.name not in known}
    return from_rows(rows.values())


def run(values: Values, output: Output) -> int:
    """Predict and render each result as it comes; 1 with `strict` if something could not be read."""
    from segkit import YOLO

    path, sources = values.pop("model"), values.pop("source")
    strict, verbose = values.pop("strict", False), values.pop("verbose", None)
    values.pop("stream", None)  # results are always rendered one by one
    unreadable: list[SourceError] = []

    def skip(error: SourceError) -> None:
        unreadable.append(error)
        output.notice(f"skipped: {error}")

    options = {"save": True, **values, "verbose": False, "on_error": skip}
    model = YOLO(path)  # before the spinner: a download has a bar of its own
    with output.working(f"loading {path}"):
        results = model.predict(sources if len(sources) > 1 else sources[0], stream=True, **options)
    report = Report(output, verbose)
    try:
        with contextlib.closing(results), output.counter(lambda: results.total) as counter:
            for result in results:
                report.add(result)
                counter.advance("pictures" if result.frame is None else "frames")
    except (KeyboardInterrupt, SegkitError):  # how a live stream ends: what was written until then is whole
        if report.count:
            report.close(len(unreadable))
        raise
    report.close(len(unreadable))
    if output.json:
        errors = [{"path": str(error.source), "error": str(error)} for error in unreadable]
        output.document({"model": path, "save_dir": report.folder, "images": report.rows, "unreadable": errors})
    return int(bool(strict and unreadable))
