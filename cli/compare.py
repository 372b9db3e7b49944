"""`segkit compare`: what models see in the same pictures, object by object, and where they begin to differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values, from_rows
from segkit.cli.facts import show_facts
from segkit.cli.output import Output
from segkit.core.errors import InputError, OptionError, SourceError

if TYPE_CHECKING:
    from segkit.conformance.comparing import ComparisonRun
    from segkit.conformance.comparison import Comparison, Row
    from segkit.conformance.deviations import RawTally

DETAILS = (
    "The first model is the reference. Objects of the same class are matched one to one by the overlap of their masks; "
    "the limits depend on the precision, and an object missing within .01 of conf is counted apart. Pictures with both "
    "side by side go to runs/compare."
)

EPILOG = """[bold]Examples[/bold]
  segkit compare yolov8n-seg.pt yolov8n-seg.onnx source=bus.jpg
  segkit compare a.pt a.onnx half.onnx source=pictures/ --no-save --json
  segkit compare a.pt a.onnx source=pictures/ --strict --mask-iou 0.95"""

SHARED = ("conf", "iou", "imgsz", "max_det", "classes", "agnostic_nms", "rect", "device", "threads", "exist_ok")
"""Options of predict that compare has too."""

OWN = (
    Option("source", Kind.VALUE, "pictures: a file, folder, pattern or address", "path"),
    Option("mask_iou", Kind.VALUE, "least mask IoU of an object that both see (default: by precision)", "float"),
    Option("score", Kind.VALUE, "largest difference of its scores (default: by precision)", "float"),
    Option("lost", Kind.VALUE, "largest share of objects missing or extra (default: by precision)", "float"),
    Option("worst", Kind.VALUE, "how many of the worst pictures to list", "int", "5"),
    Option("strict", Kind.FLAG, "exit with 1 if a model is beyond the limits, or a picture could not be read"),
    Option("save", Kind.FLAG, "save the pictures side by side", default="True"),
    Option("project", Kind.VALUE, "folder for results", "path", "runs"),
    Option("name", Kind.VALUE, "sub-folder for this run (default: compare, compare2, …)", "str"),
)


def command(words: Sequence[str]) -> Command:
    """The command; options that predict has too are those of predict."""
    from segkit._options import predict_options

    models = Argument(Positional("model", many=True), "weights or artefacts, two or more: the reference first")
    rows = (row for row in predict_options() if row.name in SHARED)
    return Command("compare", "compare", run, (models,), (*OWN, *from_rows(rows)), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Compare and report; 1 with strict when something is beyond the limits."""
    from segkit._paths import model_path
    from segkit.conformance.comparing import ComparisonRun

    models, strict, worst = values.pop("model"), values.pop("strict", False), _count(values.pop("worst", "5"))
    if (source := values.pop("source", None)) is None:
        raise InputError("compare needs pictures: give source=…, a file, a folder or a pattern.")
    limits: dict[str, Any] = {name: values.pop(name) for name in ("mask_iou", "score", "lost") if name in values}
    save = values.pop("save", True)

    def skip(error: SourceError) -> None:
        output.notice(f"skipped: {error}")

    paths = [model_path(model) for model in models]  # before the spinner: a download has a bar of its own
    with ExitStack() as stack:
        with output.working(f"loading {', '.join(models)}"):
            job = stack.enter_context(
                ComparisonRun(paths, source, limits=limits, save=save, on_error=skip, options=values)
            )
        with output.counter(lambda: job.total) as counter:
            for _ in job:
                counter.advance("pictures")
    if output.json:
        output.document(_document(job))
    else:
        _show(job, worst, output)
    return 1 if strict and not job.within else 0


def _show(job: ComparisonRun, worst: int, output: Output) -> None:
    for comparison in job.comparisons:
        reference, other = comparison.reference, comparison.other
        show_facts(output, f"{other.path} against {reference.path}", _facts(comparison))
        output.block("Worst pictures", (_line(row) for row in comparison.worst(worst)))
    if job.unreadable or job.save_dir:
        output.line()
    if job.unreadable:
        count = len(job.unreadable)
        output.line(f"{count} picture{'' if count == 1 else 's'} could not be read")
    if job.save_dir:
        output.line(f"Pictures side by side saved to {job.save_dir}")


def _facts(comparison: Comparison) -> Iterator[tuple[str, str]]:
    totals, limits = comparison.totals(), comparison.limits
    differing = sum(not row.agrees for row in comparison.rows)
    yield "pictures", f"{totals['pictures']}" + (f", {differing} with differences" if differing else "")
    counts = f"{totals['matched']} matched, {totals['missing']} missing, {totals['extra']} extra"
    yield "objects", counts + (f", {totals['near']} near the threshold" if totals["near"] else "")
    if totals["matched"]:
        yield "mask IoU", f"worst {totals['worst_mask_iou']:.4f}, mean {totals['mean_mask_iou']:.6f}"
        yield "box IoU", f"worst {totals['worst_box_iou']:.4f}, mean {totals['mean_box_iou']:.6f}"
        yield "box sides", f"worst {totals['worst_box_shift']:.2g} px, mean {totals['mean_box_shift']:.2g} px"
        yield "scores", f"worst {totals['worst_score_difference']:.2g}, mean {totals['mean_score_difference']:.2g}"
    yield from _raw(comparison.raw)
    lost = f"{limits.lost:.1%} of the objects missing or extra" if limits.lost else "no object missing or extra"
    bounds = f"mask IoU at least {limits.mask_iou:g}, scores within {limits.score:g}, {lost}"
    word = "within" if comparison.within else "beyond"
    yield "verdict", f"{word} the limits for {comparison.precision.value} ({bounds})"


def _raw(raw: RawTally) -> Iterator[tuple[str, str]]:
    """Raw outputs: the first that diverges, and every figure."""
    if raw.skipped:
        yield "raw outputs", f"not compared: {raw.skipped}"
        return
    for name, found in raw.outputs.items():
        first = f"; the first beyond the limit, in {found.picture}" if name == raw.first else ""
        told = found.deviation
        figures = f"max {told.maximum:.3g} ({told.against(raw.tolerance)}), mean {told.mean:.3g}, {told.snr:.0f} dB"
        yield name, f"{figures}{first}" if told.maximum else "the same to the last bit"


def _line(row: Row) -> str:
    parts = [f"{row.matched} matched"]
    parts += [f"{count} {word}" for count, word in ((row.missing, "missing"), (row.extra, "extra")) if count]
    parts += [f"{row.near} near the threshold"] if row.near else []
    parts += [f"mask IoU {row.mask_iou:.4f}, score {row.score:.4f}"] if row.matched else []
    return f"{row.path}  {', '.join(parts)}"


def _document(job: ComparisonRun) -> dict[str, Any]:
    return {
        "reference": job.comparisons[0].reference.path,
        "save_dir": job.save_dir,
        "within": job.within,
        "models": [_comparison(comparison) for comparison in job.comparisons],
        "unreadable": [{"path": str(error.source), "error": str(error)} for error in job.unreadable],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    raw = comparison.raw
    outputs = [
        {"output": name, "maximum": found.deviation.maximum, "mean": found.deviation.mean}
        | {"most": found.deviation.bulk}
        | {"snr": found.deviation.snr if isfinite(found.deviation.snr) else None}
        | {"limit": getattr(raw.tolerance, name), "within": found.within, "picture": found.picture}
        for name, found in raw.outputs.items()
    ]
    return {
        "model": comparison.other.path,
        "precision": comparison.precision.value,
        "limits": asdict(comparison.limits),
        "within": comparison.within,
        "totals": comparison.totals(),
        "raw": {"skipped": raw.skipped, "first_divergence": raw.first, "outputs": outputs},
        "pictures": [asdict(row) for row in comparison.rows],
    }


def _count(text: str) -> int:
    if not text.isdecimal():
        raise OptionError.invalid("worst", text, "give a whole number, how many pictures to list")
    return int(text)
