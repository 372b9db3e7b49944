"""`segkit tune`: search for the arguments of a training, then show what was found beside what was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values, from_rows
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit.core.training.tuning.searching import Tuned

DETAILS = (
    "Every trial is a training as segkit train makes it; the first one with what you give, the others with other "
    "values of the arguments that are searched, chosen by what was found so far. Best is what has the highest box and "
    "mask mAP50-95 together. Table, picture and the best arguments go to runs/segment/tune.\n\nCtrl-C, or whatever "
    "else ends it: the same command goes on with the search, in the middle of a trial too. The same command started "
    "several times, e.g. with device=0 and device=1, shares one search."
)

EPILOG = """[bold]Examples[/bold]
  segkit tune model=yolov8n-seg.pt data=street.yaml epochs=30 iterations=50
  segkit tune model=yolov8n-seg.pt data=street.yaml epochs=30 search=lr0,weight_decay,degrees
  segkit train cfg=runs/segment/tune/best_hyperparameters.yaml epochs=300"""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's tune."""
    from segkit._train import change_options
    from segkit._tune import search_options, trial_options

    model = Argument(Positional("model", required=False), "an architecture (.yaml) or weights; default: what cfg names")
    rows, changes = trial_options(), set(change_options())
    options = from_rows(search_options(), panel="The search")
    options += from_rows((row for row in rows if row.name not in changes), panel="Every training")
    options += from_rows((row for row in rows if row.name in changes), panel="How samples are changed")
    return Command("tune", "tune", run, (model,), options, DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Search, then show what was found."""
    from segkit import YOLO
    from segkit._tune import model_of

    found = YOLO(model_of(values)).tune(**values)
    if output.json:
        output.document(found._asdict())
    else:
        _show(found, output)


def _show(found: Tuned, output: Output) -> None:
    table = output.table("Argument", "Given", "Best", right=("Given", "Best"))
    for name, value in found.best.items():
        table.add_row(name, _short(found.given.get(name)), _short(value))
    output.show(table)
    before = "" if found.first is None else f", {found.first:.4f} with what was given"
    output.line(f"Best of {found.trials} trials is number {found.trial}: {found.fitness:.4f}{before}")
    output.line(f"Results saved to {found.folder}")
    output.line(f"Train with it: segkit train cfg={found.folder / 'best_hyperparameters.yaml'} epochs=100")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
