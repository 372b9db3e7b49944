"""The one hook of segkit. A plugin is a module (or object) named by an entry point in the group `segkit.plugins`."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from segkit.core.backend.base import Backend

PROJECT = "segkit"
GROUP = "segkit.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def segkit_backends() -> Iterable[Backend]:  # type: ignore[empty-body]
    """The backends that this plugin provides, usually one. Called once; must not import a runtime."""
