"""What the code of a plugin does wrong, in one line and in the plugin's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from segkit.core.errors import PluginError


def words(error: BaseException) -> str:
    """An exception that nobody raised on purpose, as part of a sentence: its type and its message on one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return ": ".join([error.title, *map(str, first["loc"]), first["msg"]])
    message = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextmanager
def blamed(plugin: object, problem: str) -> Iterator[None]:
    """Whatever the plugin's code raises, an attempt to end the process included, becomes a PluginError."""
    try:
        yield
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:
        raise PluginError(str(plugin), f"{problem} ({words(error)})") from error
