"""`segkit export`: convert weights, then say where the artefact is and how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Kind, Positional, peek
from segkit.cli.command import Argument, Command, Option, Values, from_rows
from segkit.cli.output import Output
from segkit.core.errors import OptionError, UnsupportedError
from segkit.core.notices import size_of

if TYPE_CHECKING:
    from segkit._formats import FormatInfo

DETAILS = (
    "The artefact lands beside the weights (in the working folder if those were downloaded) unless output= says "
    "otherwise, and replaces an older one once complete."
)

EPILOG = """[bold]Examples[/bold]
  segkit export model=yolov8n-seg.pt format={name}
  segkit export yolov8n-seg.pt --format {name} --imgsz 480,640 --output exported/"""

CHOOSE = """

[bold]Formats[/bold]
  {names}

The options depend on the format: [bold]segkit export --format NAME --help[/bold] lists them."""


def command(words: Sequence[str]) -> Command:
    """The command for the format that `words` name: its options are those of that format, and no others.

    Raises:
        OptionError: no format is named.
        UnknownFormatError, PluginError, UnsupportedError: the format cannot be exported to.
    """
    from segkit._formats import format_info, formats

    model = Argument(Positional("model"), "weights (.pt, .safetensors) or an architecture (.yaml)")
    names = [info.name for info in formats() if info.options]
    options = [
        Option("format", Kind.VALUE, "what to convert to", "name", choices=tuple(names)),
        Option("output", Kind.VALUE, "file or folder to write to (default: beside the weights)", "path"),
    ]
    name = peek(words, "format")
    if name is None:
        if not {"-h", "--help"} & set(words):
            raise OptionError(f"Say which format to export to: format=NAME, one of {', '.join(names)}.")
        epilog = (EPILOG + CHOOSE).format(name=names[0] if names else "NAME", names="  ".join(names))
        return Command("export", "export", run, (model,), tuple(options), DETAILS, epilog)
    info = format_info(name)
    if gap := info.support["export"]:
        raise UnsupportedError(info.name, "export", *gap)
    options += options_of(info)
    return Command(
        "export", f"export to {info.name}", run, (model,), tuple(options), DETAILS, EPILOG.format(name=info.name)
    )


def options_of(info: FormatInfo) -> list[Option]:
    """Options of the exports to a format; hidden ones that it answers with a reason too."""
    from segkit._formats import CALIBRATION

    own = from_rows(info.options, panel=f"{info.title} options")
    known = {option.name for option in own}
    declined = [Option(flag, Kind.FLAG, "", hidden=True) for flag in info.declined if flag not in known]
    declined += [Option(row.name, Kind.VALUE, "", hidden=True) for row in CALIBRATION if row.name not in known]
    return [*own, *declined]


def run(values: Values, output: Output) -> None:
    """Convert and report."""
    from segkit import YOLO

    path = values.pop("model")
    model = YOLO(path)  # a download shows its own progress
    with output.working(f"loading {path}") as report:
        result = model.export_to(values.pop("format"), **values, report=report)
    commands = [
        _follow_up("predict", result.path, "source=picture.jpg"),
        _follow_up("val", result.path, "data=data.yaml"),
    ]
    if output.json:
        output.document(_document(result, commands))
        return
    output.line(f"{result.path}  {size_of(result.size)}  {result.seconds:.1f} s")
    output.block("Use it", commands, paste=True)


def _follow_up(name: str, artefact: Path, *words: str) -> str:
    """A command line to paste into a shell."""
    return shlex.join(["segkit", name, f"model={artefact}", *words])


def _document(result: Any, commands: list[str]) -> dict[str, Any]:
    return {
        "path": str(result.path),
        "bytes": result.size,
        "seconds": round(result.seconds, 3),
        "metadata": result.metadata.to_plain(),
        "commands": commands,
    }
