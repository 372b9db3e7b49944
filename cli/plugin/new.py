"""`segkit plugin new`: the skeleton of a plugin distribution."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit._plugin_new import NewPlugin

DETAILS = (
    "A whole distribution: a small format that works, its conformance test, a workflow that runs the suite and "
    "publishes the badge. It passes from the first minute; put your converter and your runtime in the places that its "
    "README names. docs/writing-a-plugin.md goes through it."
)

EPILOG = """[bold]Examples[/bold]
  segkit plugin new acme                  writes ./segkit-acme
  segkit plugin new acme plugins/acme"""


def command(words: Sequence[str]) -> Command:
    """The command."""
    name = Argument(Positional("name"), "name of the new format, as users will type it")
    folder = Argument(
        Positional("folder", required=False),
        "folder to make; it must not be there yet, or be empty (default: segkit-NAME)",
    )
    return Command("new", "plugin new", run, (name, folder), (), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Write it, and say what to do next."""
    from segkit._plugin_new import new_plugin

    made = new_plugin(**values)
    if output.json:
        output.document(asdict(made))
        return
    output.block(f"{made.folder} is a plugin for the format '{made.format}'", made.files)
    output.block("Next", _next(made), paste=True)


def _next(made: NewPlugin) -> Iterator[str]:
    yield f"cd {shlex.quote(str(made.folder))}"
    yield 'pip install -e ".[test]"'
    yield f"segkit formats {made.format}"
    yield "pytest"
