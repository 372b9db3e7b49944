"""Child processes of the suite: they know the formats, and find the modules, of the one that started them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from segkit.core.backend.registry import Registry, default_registry

INSTALLED = "-"

ANSWER = "segkit answers: "
"""How the line begins that a child answers with: what runtimes print before it, after it or on it is none."""


def module_of(registry: Registry, name: str) -> str:
    """The module that provides a registered format; "-" for one that is installed."""
    return next((plugin.value for plugin in registry.registered if plugin.name == name), INSTALLED)


def registry_with(name: str, module: str) -> Registry:
    """In the child: the installed formats, and that one."""
    registry = default_registry()
    if module != INSTALLED:
        registry.register(name, module)
    return registry


def answer(value: object) -> None:
    """In the child: say what was asked for, as JSON, on a line of its own."""
    print(f"\n{ANSWER}{json.dumps(value)}", flush=True)


def answer_in(printed: str) -> Any:
    """What a child answered.

    Raises:
        AssertionError: it did not, or something was printed in the middle of it.
    """
    lines = [line.removeprefix(ANSWER) for line in printed.splitlines() if line.startswith(ANSWER)]
    assert lines, f"a process that ended well gave no answer; it printed: {printed[-300:]}"
    try:
        return json.JSONDecoder().raw_decode(lines[-1])[0]
    except json.JSONDecodeError:
        raise AssertionError(f"something was printed into the answer of a process: {lines[-1][:300]}") from None


def environment() -> dict[str, str]:
    """For a child process that sees the modules of this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
