"""`segkit data split`: a data set divided into train, val and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit.core.data.dividing.writing import Division

DETAILS = (
    "The lists train.txt, val.txt and test.txt and a new data.yaml are written beside the data; no picture is moved. "
    "Every class of two pictures and more gets into train and, if there is room, into val; rare ones are shared out "
    "first. Pictures that look the same stay together, also where they differ in size or compression."
)

EPILOG = """[bold]Examples[/bold]
  segkit data split pictures/ --val 0.2
  segkit data split data.yaml --val 0.2 --test 0.1 --seed 7
  segkit data split pictures/ --copy divided/"""

CLASSES = 20
"""Classes that are shown, those with fewest pictures; --json has all."""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's split."""
    from segkit._data_arguments import split_options

    source = Argument(Positional("source"), "folder with images and labels, or a data.yaml that has train alone")
    return Command("split", "data split", run, (source,), from_rows(split_options()), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Divide, and say what went where."""
    from segkit._data_split import split_data

    done = split_data(values.pop("source"), **values)
    if output.json:
        output.document(_document(done))
        return
    table = output.table("class", *done.pictures, right=tuple(done.pictures))
    present = sorted((sum(counts), index) for index, counts in done.counts.items() if any(counts))
    for _, index in present[:CLASSES]:
        table.add_row(done.names[index], *map(str, done.counts[index]))
    output.line("pictures: " + ", ".join(f"{split} {count}" for split, count in done.pictures.items()))
    output.line()
    output.show(table)
    if len(present) > CLASSES:
        output.line(f"and {len(present) - CLASSES} classes with more pictures (--json has them)")
    if done.together:
        output.line(f"{done.together} pictures look like another one and stayed with it")
    if done.left_out:
        output.line(f"{done.left_out} pictures cannot be read and are in no list; segkit data check names them")
    output.line(f"written: {done.description}")


def _document(done: Division) -> dict[str, object]:
    classes = [
        {"index": index, "name": name, "pictures": dict(zip(done.pictures, done.counts[index], strict=True))}
        for index, name in done.names.items()
    ]
    return {
        "data": str(done.description),
        "pictures": dict(done.pictures),
        "classes": classes,
        "together": done.together,
        "left_out": done.left_out,
    }
