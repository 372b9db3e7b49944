"""`segkit doctor`: what is installed, what it can do, what is broken or contradicts itself; made for bug reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from segkit.cli.command import Command, Values
from segkit.cli.facts import show_facts
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit._doctor import Checkup

DETAILS = (
    "Every library is imported in a process of its own, so that a broken one is found and breaks nothing. The exit "
    "code is 1 if something that is installed does not work, else 0. Passwords are masked."
)

EPILOG = """[bold]Examples[/bold]
  segkit doctor
  segkit doctor --json > doctor.json    for a bug report"""


def command(words: Sequence[str]) -> Command:
    """The command."""
    return Command("doctor", "doctor", run, (), (), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Show the findings; 1 if something is broken."""
    from segkit._doctor import checkup

    with output.working("looking at what is installed"):
        found = checkup()
    if output.json:
        output.document(asdict(found))
    else:
        _show(found, output)
    return 1 if found.broken else 0


def _show(found: Checkup, output: Output) -> None:
    show_facts(output, "Versions", found.versions.items())
    show_facts(output, "Machine", found.machine.items())
    show_facts(output, "Libraries", _libraries(found))
    show_facts(output, "Formats", _abilities(found))
    show_facts(output, "Folders", found.folders.items())
    show_facts(output, "Environment", found.environment.items())
    output.block("Good to know", found.notes)
    output.block("Conflicts", found.conflicts)
    output.block("Broken", found.broken)
    if not found.conflicts and not found.broken:
        output.line()
        output.line("No conflicts, and nothing that is installed is broken.")


def _libraries(found: Checkup) -> Iterator[tuple[str, str]]:
    for library in found.libraries:
        facts = "; ".join(f"{name}: {value}" for name, value in library.facts.items())
        told = f"{library.version}  {'does not work' if library.problem else facts}"
        yield library.name, told.strip()
    if found.absent:
        yield "not installed", ", ".join(found.absent)


def _abilities(found: Checkup) -> Iterator[tuple[str, str]]:
    for ability in found.abilities:
        if ability.export == ability.predict == "yes":
            yield ability.name, "exports and runs here"
            continue
        yield ability.name, f"export: {ability.export}"
        yield "", f"predict: {ability.predict}"
