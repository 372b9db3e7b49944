"""`segkit data list`: the data sets that have a name, and which of them are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.command import Command, Values
from segkit.cli.output import Output
from segkit.core.notices import size_of

if TYPE_CHECKING:
    from segkit.core.data.named.catalogue import Entry

DETAILS = (
    "Names stand for data sets wherever data= is asked for. They are looked for in the folders of SEGKIT_DATASETS, the "
    "working folder, its folder datasets, and the cache; nothing is downloaded but by segkit data get."
)

EPILOG = """[bold]Examples[/bold]
  segkit data list
  segkit data list --json"""


def command(words: Sequence[str]) -> Command:
    """The command."""
    return Command("list", "data list", run, (), (), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Render the catalogue."""
    from segkit.core.data.named.catalogue import entries

    rows = [_document(entry) for entry in entries()]
    if output.json:
        output.document({"datasets": rows})
        return
    table = output.table("name", "pictures", "classes", "size", "where", right=("pictures", "classes", "size"))
    for row in rows:
        pictures = "/".join(map(str, row["pictures"].values()))
        here = row["path"] or f"segkit data get {row['name']}"
        table.add_row(row["name"], pictures, str(len(row["names"])), size_of(row["bytes"]), here)
    output.show(table)
    for row in rows:
        output.line(f"{row['name']}: {row['title']}; {row['source']}; {row['licence']}")


def _document(entry: Entry) -> dict[str, Any]:
    from segkit.core.data.named.catalogue import find

    found = find(entry.name)
    return {
        "name": entry.name,
        "title": entry.title,
        "pictures": dict(entry.pictures),
        "names": list(entry.names),
        "bytes": entry.bytes,
        "generated": not entry.parts,
        "source": entry.source,
        "licence": entry.licence,
        "urls": [part.url for part in entry.parts],
        "path": str(found) if found else None,
    }
