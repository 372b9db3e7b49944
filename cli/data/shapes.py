"""`segkit data shapes`: a generated data set."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output

DETAILS = (
    "Discs, squares, triangles, stars and rings on textured ground, hiding each other in part, with labels that are "
    "right to the pixel. The same seed and size give the same pictures on every machine."
)

EPILOG = """[bold]Examples[/bold]
  segkit data shapes out/
  segkit data shapes out/ --count 64 --val 16 --seed 7 --imgsz 320"""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the generator."""
    from segkit.core.backend.options import describe
    from segkit.core.data.shapes.files import ShapesOptions

    folder = Argument(Positional("folder"), "folder to make; it must not be there yet, or be empty")
    return Command("shapes", "data shapes", run, (folder,), from_rows(describe(ShapesOptions)), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Generate, and say where the description is."""
    from segkit.core.data.shapes.files import make_shapes

    made = make_shapes(values.pop("folder"), **values)
    if output.json:
        output.document({"data": str(made)})
    else:
        output.line(str(made))
