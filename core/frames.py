"""Rows as data frames of whatever library is installed, which is loaded when somebody asks for one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from segkit.core.errors import MissingDependencyError, OptionError

LIBRARIES = ("pandas", "polars")
"""Those that make data frames, the first one that is installed by default."""


def frame_library(library: str | None, purpose: str) -> tuple[str, Any]:
    """The name and the module of the library that is to make a data frame.

    Args:
        library: one of `LIBRARIES`, or None for the first that is installed.
        purpose: what needs it, for the error.

    Raises:
        OptionError: another library.
        MissingDependencyError: it is not installed, or none is.
    """
    if library not in (None, *LIBRARIES):
        raise OptionError.invalid("library", library, f"give {' or '.join(LIBRARIES)}, or leave it out")
    for name in [library] if library else LIBRARIES:
        try:
            return name, import_module(name)
        except ImportError:
            continue
    raise MissingDependencyError([library or LIBRARIES[0]], purpose)
