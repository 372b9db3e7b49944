"""Commands as pages show them, read as the program reads them."""

import shlex
from typing import Any

from segkit.cli.app import GROUPS, SUMMARIES, application, load, parser
from segkit.cli.argv import joined, normalise, split


def values_of(line: str) -> dict[str, Any]:
    """The options of a command; whatever it does not understand it refuses."""
    name, words = split(joined(shlex.split(line)[1:]), list(SUMMARIES))
    assert name is not None
    group = ""
    if name in GROUPS:
        group, (name, words) = name, split(words, list(GROUPS[name]))
        assert name is not None
    command = load(name, words, group)
    values = parser(application(command, group))(normalise(words, command.grammar()), standalone_mode=False)
    assert isinstance(values, dict)
    return values
