"""TorchScript: a traced network in one archive, run with libtorch without our code."""

from __future__ import annotations

from segkit.core.backend import Backend, hookimpl


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TorchScript backend."""
    return []
