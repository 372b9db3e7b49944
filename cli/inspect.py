"""`segkit inspect`: what files and folders say about themselves, whoever wrote them, without running them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values
from segkit.cli.facts import show_facts
from segkit.cli.output import Output
from segkit.core.notices import size_of

if TYPE_CHECKING:
    from segkit._inspect import Report
    from segkit.core.backend import Metadata, TensorInfo

DETAILS = (
    "Any artefact or weights, also of other tools: format, tensors, precision, head, writer, metadata. Nothing is run, "
    "and no runtime is loaded. (segkit info counts layers and GFLOPs of weights instead.)"
)

EPILOG = """[bold]Examples[/bold]
  segkit inspect yolov8n-seg.onnx
  segkit inspect *.pt exported/*
  segkit inspect yolov8n-seg.pt --json"""

NAMES_SHOWN = 10
"""Class names; --json has them all."""


def command(words: Sequence[str]) -> Command:
    """The command."""
    files = Argument(Positional("file", many=True), "files or folders: artefacts of any format, weights, or unknown")
    return Command("inspect", "inspect", run, (files,), (), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Ask the sdk about every file and render what it says; 2 if one of several cannot be read."""
    from segkit._inspect import inspect

    reports = [inspect(path) for path in values["file"]]
    failed = [report.error for report in reports if report.error]
    if failed and len(reports) == 1:
        raise failed[0]
    if output.json:
        output.document({"files": [_document(report) for report in reports]})
    else:
        for report in reports:
            show_facts(output, report.path, _facts(report))
    return failed[0].exit_code if failed else 0


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """(label, text) of everything worth a line."""
    yield "format", f"{report.title}: {report.reason}" if report.title else f"none; {report.reason}"
    if report.size:
        yield "size", size_of(report.size) + (f" in {report.files} files" if report.files > 1 else "")
    if report.error:
        yield "error", str(report.error)
        return
    inside = report.inspection
    facts = {key: value for key, value in inside.facts.items() if key != "precision"}
    yield from (("producer", inside.producer),) if inside.producer else ()
    yield from (("precision", report.precision),) if report.precision else ()
    yield from ((("input", "output")[index], _tensor(tensor)) for index, tensor in _tensors(report))
    yield from (("head", report.head),) if report.head else ()
    yield from facts.items()
    if report.metadata:
        yield from _metadata(report.metadata)
    if report.problem:
        yield "segkit", f"cannot run it: {report.problem}"


def _tensors(report: Report) -> Iterator[tuple[int, TensorInfo]]:
    for index, tensors in enumerate((report.inspection.inputs, report.inspection.outputs)):
        yield from ((index, tensor) for tensor in tensors)


def _tensor(tensor: TensorInfo) -> str:
    sides = ", ".join("?" if side is None else str(side) for side in tensor.shape)
    return f"{tensor.name}  {tensor.dtype}  ({sides})"


def _metadata(metadata: Metadata) -> Iterator[tuple[str, str]]:
    """What the file says about itself; segkit's own block as far as it says more than the outer keys."""
    plain = metadata.to_plain()
    own: Mapping[str, Any] = plain.pop("segkit", {})
    height, width = metadata.imgsz
    free = " (any size)" if metadata.dynamic_size else ""
    yield "input size", f"{height}x{width}{free}, batch {metadata.batch}{' (any)' if metadata.dynamic_batch else ''}"
    if metadata.names:
        yield "names", _names(metadata.names)
    for key in ("description", "date"):
        if plain.get(key):
            yield key, str(plain[key])
    if metadata.args:
        yield "export", _pairs(metadata.args)
    if own.get("toolchain"):
        yield "made by", ", ".join(f"{name} {version}" for name, version in own["toolchain"].items())
    if metadata.selection:
        yield "limits inside", _pairs(metadata.selection.model_dump())
    for key in ("calibration", "target"):
        if own.get(key):
            yield key, str(own[key])


def _names(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{index} {name}" for index, name in list(names.items())[:NAMES_SHOWN])
    rest = f", and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} classes: {shown}{rest}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _document(report: Report) -> dict[str, Any]:
    """A report for programs; keys that say nothing are null."""
    inside = report.inspection
    return {
        "path": report.path,
        "bytes": report.size,
        "files": report.files,
        "format": report.format,
        "reason": report.reason,
        "precision": report.precision,
        "producer": inside.producer,
        "inputs": [_plain(tensor) for tensor in inside.inputs],
        "outputs": [_plain(tensor) for tensor in inside.outputs],
        "head": report.head,
        "facts": dict(inside.facts),
        "metadata": report.metadata.to_plain() if report.metadata else None,
        "problem": report.problem,
        "error": str(report.error) if report.error else None,
    }


def _plain(tensor: TensorInfo) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
