"""`segkit info`: the layers and sizes of weights; what any other artefact says about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit.core.backend import Metadata
    from segkit.core.model import ModelSummary

DETAILS = (
    "Weights and architectures are listed layer by layer, with parameters and GFLOPs; an artefact, which has no layers "
    "any more, shows its metadata. (segkit inspect shows what any file holds: tensors, precision, writer.)"
)

EPILOG = """[bold]Examples[/bold]
  segkit info yolov8n-seg.pt
  segkit info model=yolov8s-seg.yaml imgsz=320
  segkit info yolov8n-seg.onnx --json"""

NAMES_SHOWN = 10
"""Class names in the metadata of an artefact; --json has them all."""


def command(words: Sequence[str]) -> Command:
    """The command."""
    model = Argument(Positional("model"), "weights, an architecture (.yaml), or an exported artefact")
    imgsz = Option("imgsz", Kind.VALUE, "input size that GFLOPs are counted at", "int or h,w", "640")
    return Command("info", "info", run, (model,), (imgsz,), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Ask the sdk and render what it says."""
    from segkit import YOLO
    from segkit.core.backend import Metadata

    path = values.pop("model")
    facts = YOLO(path).info(**values)
    if isinstance(facts, Metadata):
        _show_metadata(path, facts, output)
    else:
        _show_layers(path, facts, output)


def _show_metadata(path: str, facts: Metadata, output: Output) -> None:
    plain = facts.to_plain()
    if output.json:
        output.document({"model": path, "metadata": plain})
        return
    own = plain.pop("segkit", {})
    output.block(path, _lines(plain))
    output.block("Made by segkit", _lines(own))


def _show_layers(path: str, facts: ModelSummary, output: Output) -> None:
    if output.json:
        output.document({"model": path} | asdict(facts))
        return
    table = output.table("layer", "reads", "block", "parameters", "output", "GFLOPs", right=("parameters", "GFLOPs"))
    for layer in facts.layers:
        reads = ",".join(map(str, layer.source))
        size = "x".join(map(str, layer.output))
        table.add_row(str(layer.index), reads, layer.block, f"{layer.parameters:,}", size, f"{layer.gflops:.3f}")
    output.show(table)
    height, width = facts.imgsz
    state = "fused, " if facts.fused else ""
    output.line()
    output.line(f"{path}: scale {facts.scale}, {facts.nc} classes, {state}{len(facts.layers)} layers")
    output.line(f"{facts.parameters:,} parameters, {facts.gflops:.1f} GFLOPs at {height}x{width}")


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """`key  value` of every fact; long lists of names are cut."""
    for key, value in facts.items():
        if key == "names" and isinstance(value, Mapping):
            shown = [f"{index} {name}" for index, name in list(value.items())[:NAMES_SHOWN]]
            rest = f", and {len(value) - NAMES_SHOWN} more" if len(value) > NAMES_SHOWN else ""
            yield f"{key:14} {', '.join(shown)}{rest}"
        elif isinstance(value, Mapping):
            yield f"{key:14} {', '.join(f'{name}={item}' for name, item in value.items())}"
        else:
            yield f"{key:14} {value}"
