"""Commands that formats bring themselves: `segkit FORMAT COMMAND`.

A plugin is imported when its format is the first word that is no command of segkit's own; the general help knows none.
"""

from __future__ import annotations

from collections.abc import Mapping

from segkit.cli.command import Command, Values
from segkit.cli.facts import show_facts
from segkit.cli.output import Output


def table(name: str) -> Mapping[str, str]:
    """Name → summary of the commands of a format; none where there is no such format, or it brings none.

    Raises:
        PluginError: its plugin is broken.
    """
    from segkit.core.backend.registry import default_registry

    registry = default_registry()
    if name.lower() not in registry.names():
        return {}
    return {command.name: command.summary for command in registry.get(name).format.commands}


def command(group: str, name: str) -> Command:
    """One of them."""
    from segkit.core.backend.registry import default_registry

    fmt = default_registry().get(group).format
    (brought,) = (command for command in fmt.commands if command.name == name)

    def run(values: Values, output: Output) -> None:
        with output.working(f"{group} {name}") as report:
            done = dict(brought.run(report))
        if output.json:
            output.document(done)
        else:
            show_facts(output, f"{fmt.title}: {name}", done.items())

    return Command(name, f"{group} {name}", run)
