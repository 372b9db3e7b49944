"""`segkit data show`: a sheet of samples with their labels, as training sees them."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output

DETAILS = (
    "Without --augment, or one of the changes, samples are shown as they are. The masks are the training masks: "
    "a quarter of the picture's size unless mask_ratio says otherwise, small objects above large ones."
)

EPILOG = """[bold]Examples[/bold]
  segkit data show coco128-seg.yaml
  segkit data show coco128-seg.yaml --augment --count 9 --seed 3
  segkit data show data.yaml degrees=30 shear=5 mosaic=0 split=val
  segkit data show data.yaml --copy-paste 0.5 --output sheet.png"""


def command(words: Sequence[str]) -> Command:
    """The command."""
    from segkit.core.backend.options import describe
    from segkit.core.data.augment import ShowArguments

    data = Argument(Positional("data"), "a data.yaml, a COCO file, a folder with one of them, or a known data set")
    rows, own = describe(ShowArguments), ShowArguments.own_fields()
    options = from_rows(row for row in rows if row.name in own)
    changes = from_rows((row for row in rows if row.name not in own), "Changes")
    return Command("show", "data show", run, (data,), (*options, *changes), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Write the sheet and say where it is."""
    from segkit.core.backend.options import validate
    from segkit.core.data.augment import ShowArguments, show_samples

    data = values.pop("data")
    shown = show_samples(data, validate(ShowArguments, values, "data show"))
    if output.json:
        output.document({"data": data, "sheet": shown.path, "samples": shown.samples, "objects": shown.objects})
    else:
        output.line(f"{shown.samples} samples with {shown.objects} objects: {shown.path}")
    return 0
