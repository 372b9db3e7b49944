"""coremltools, imported without what it would bring along."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

LOGGER = "coremltools"
STRANGERS = ("tensorflow", "sklearn")
"""Packages that coremltools imports where they are installed, for converters that nobody needs here: they take seconds,
and TensorFlow does not get along with every other runtime in one process."""


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, notices and progress bars of the toolchain: its failures are exceptions, and the rest tells a user
    nothing.
    """
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def coremltools(*, torch: bool = True) -> ModuleType:
    """The package; without `torch` also that one stays out, unless it is there already."""
    unwanted = [name for name in (*STRANGERS, *(() if torch else ("torch",))) if name not in sys.modules]
    if LOGGER not in sys.modules:
        sys.modules.update(dict.fromkeys(unwanted))  # None: importing it fails
    try:
        with quiet():
            import coremltools as package
    finally:
        for name in unwanted:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]
    return package  # type: ignore[no-any-return]
