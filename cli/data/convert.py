"""`segkit data convert`: labels of other tools to a data set of ours, or ours to COCO's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values
from segkit.cli.output import Output
from segkit.core.errors import OptionError

if TYPE_CHECKING:
    from segkit.core.data.convert import Report

DETAILS = (
    "TARGET gets images/ with links to the pictures (--copy for copies), and labels/ and a data.yaml, or annotations/ "
    "with COCO's JSON. "
    "Whatever cannot be converted is left out and counted; a failure leaves nothing behind."
)

EPILOG = """[bold]Examples[/bold]
  segkit data convert annotations/instances_train2017.json converted/
  segkit data convert scans/ converted/ --from masks --names road,car,person
  segkit data convert scans/ converted/ --from instances --class cell
  segkit data convert labelme/ converted/ --copy
  segkit data convert data.yaml instances.json --to coco

Mask pictures: 0 is background, value 1 the first class, 255 ignored, every connected region an object; with
--from instances every value, or every file in a picture's folder, is an object."""


def command(words: Sequence[str]) -> Command:
    """The command."""
    from segkit.core.data.convert import arguments as known

    sources, targets = "|".join((known.AUTO, *known.Kind)), "|".join(known.TARGETS)
    arguments = (
        Argument(Positional("source"), "COCO JSON, mask pictures, LabelMe, CVAT XML, Pascal VOC, or a data.yaml"),
        Argument(Positional("target"), "folder to make, or a .json file for COCO"),
    )
    options = (
        Option("from", Kind.VALUE, "what the source is", sources, known.AUTO),
        Option("to", Kind.VALUE, "what to make (default: yolo; coco from a data.yaml)", targets),
        Option("images", Kind.VALUE, "folder of the pictures, if they are not beside the labels", "path"),
        Option("names", Kind.LIST, "class names in order: a,b,c; of masks, the first is value 1", "list[str]"),
        Option("class", Kind.VALUE, "class of all objects in instance masks", "name"),
        Option("least", Kind.VALUE, "pixels that a region of a mask must have", "int", "1"),
        Option("copy", Kind.FLAG, "copy the pictures instead of linking to them"),
        Option("exist_ok", Kind.FLAG, "write into a folder that is not empty"),
    )
    return Command("convert", "data convert", run, arguments, options, DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Convert and say what was converted and what was left out."""
    from segkit.core.data.convert import convert

    source, target = values.pop("source"), values.pop("target")
    if "least" in values:
        values["least"] = _whole(values["least"])
    if "names" in values:
        values["names"] = [name for given in values["names"] for name in given.split(",") if name]
    renamed = {"from": "kind", "class": "label"}
    report = convert(source, target, **{renamed.get(name, name): value for name, value in values.items()})
    if output.json:
        output.document(_document(report))
        return
    _show(report, output)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise OptionError.invalid("least", text, "a whole number is wanted") from None


def _show(report: Report, output: Output) -> None:
    pictures, objects = sum(report.pictures.values()), sum(report.objects.values())
    output.line(f"{report.target}  {report.kind} to {report.to}: {pictures} pictures, {objects} objects")
    table = output.table("what", "count", right=("count",))
    for split, count in report.pictures.items():
        table.add_row(f"pictures of {split}", str(count))
    table.add_row("pictures without objects", str(report.empty))
    if report.linked < pictures:
        table.add_row("pictures that were not found (labels only)", str(pictures - report.linked))
    for name, count in report.objects.items():
        table.add_row(f"objects: {name}", str(count))
    for reason, count in report.skipped.items():
        table.add_row(f"left out: {reason}", str(count))
    output.show(table)


def _document(report: Report) -> dict[str, Any]:
    return {
        "source": str(report.source),
        "target": str(report.target),
        "from": str(report.kind),
        "to": report.to,
        "names": dict(enumerate(report.names)),
        "pictures": dict(report.pictures),
        "objects": dict(report.objects),
        "empty": report.empty,
        "linked": report.linked,
        "skipped": dict(report.skipped),
    }
