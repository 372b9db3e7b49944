"""`segkit data get`: data sets of the catalogue, fetched or generated."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values
from segkit.cli.output import Output

DETAILS = (
    "Into the first folder of SEGKIT_DATASETS, or the cache. Source and terms are shown first. A download that was "
    "ended goes on where it was; nothing but the data is taken from it, and no script is run."
)

EPILOG = """[bold]Examples[/bold]
  segkit data get coco128-seg.yaml
  segkit data get coco.yaml --split val
  segkit data get shapes.yaml coco8-seg.yaml"""


def command(words: Sequence[str]) -> Command:
    """The command."""
    from segkit.core.data.named.catalogue import entries

    names = tuple(entry.name for entry in entries())
    which = Argument(Positional("name", many=True), f"names of data sets: {', '.join(names)}", names)
    split = Option("split", Kind.LIST, "only these splits, e.g. val (default: all)", "list[str]")
    return Command("get", "data get", run, (which,), (split,), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Fetch them in turn, and say where they are."""
    from segkit.core.data.named.catalogue import entry
    from segkit.core.data.named.get import get

    names = [entry(name).name for name in values["name"]]  # all are known before the first is fetched
    found = [get(name, splits=values.get("split", ())) for name in names]
    if output.json:
        output.document({"datasets": [{"name": n, "path": str(path)} for n, path in zip(names, found, strict=True)]})
        return
    for path in found:
        output.line(str(path))
