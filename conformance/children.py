"""Child processes of the suite: they know the formats, and find the modules, of the one that started them."""

from __future__ import annotations

import os
import sys

from segkit.core.backend.registry import Registry, default_registry

INSTALLED = "-"


def module_of(registry: Registry, name: str) -> str:
    """The module that provides a registered format; "-" for one that is installed."""
    return next((plugin.value for plugin in registry.registered if plugin.name == name), INSTALLED)


def registry_with(name: str, module: str) -> Registry:
    """In the child: the installed formats, and that one."""
    registry = default_registry()
    if module != INSTALLED:
        registry.register(name, module)
    return registry


def environment() -> dict[str, str]:
    """For a child process that sees the modules of this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
