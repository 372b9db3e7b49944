"""What a backend must do, as tests to inherit, with the tolerances and the reference that they use.

A plugin author's whole test file:

    from segkit.conformance import BackendSuite

    class TestMine(BackendSuite):
        format = "mine"

and in `conftest.py`, so that pytest shows the values inside the suite's own asserts:

    pytest_plugins = ["segkit.conformance"]

The suite needs pytest and torch (for the reference); importing this package needs neither.

PYTEST_DONT_REWRITE: there is no assert in this module, and pytest would complain that its own plugin imported it early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit.conformance.suite import BackendSuite

__all__ = ["VERSION", "BackendSuite"]

VERSION = "2.0"
"""Of the suite: new mandatory cases raise the second number, a changed meaning of an old case the first."""


def __getattr__(name: str) -> Any:
    """BackendSuite, imported when asked for: it needs pytest."""
    if name != "BackendSuite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from segkit.conformance.suite import BackendSuite

    return BackendSuite
