"""What a format needs beside Python, and the commands by which it gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic.dataclasses import dataclass

from segkit.core.backend.capability import Feature
from segkit.core.backend.declaring import DECLARATION, Name
from segkit.core.places import tools_folder

__all__ = ["FormatCommand", "Reporter", "Tool", "tools_folder"]

Reporter = Callable[[str], None]
"""Takes a few words when a long step begins; the user sees them."""


@dataclass(frozen=True, config=DECLARATION)
class Tool:
    """Something that pip does not bring, such as packages of another language; it is named to the user with the command
    that brings it.

    Attributes:
        name: as in "running a model in acme needs NAME".
        command: what the user is told to run, e.g. "segkit acme setup".
        version: its version, None where it is not there; asked often, so it starts no process and imports nothing
            heavy.
    """

    name: str
    command: str
    version: Callable[[], str | None]
    needed_for: frozenset[Feature] = frozenset({Feature.EXPORT, Feature.PREDICT})

    def __str__(self) -> str:
        """The name."""
        return self.name

    def found(self) -> tuple[str, str] | None:
        """Name and version, None where it is not there."""
        version = self.version()
        return (self.name, version) if version else None

    def met(self) -> bool:
        """Whether it is there."""
        return self.version() is not None


@dataclass(frozen=True, config=DECLARATION)
class FormatCommand:
    """A command of a format's own: users run it as `segkit FORMAT NAME`.

    Attributes:
        name: what users type.
        summary: a sentence for the help.
        run: does it, and gives what it did: short texts by a short name. It may import what it likes.
    """

    name: Name
    summary: str
    run: Callable[[Reporter], Mapping[str, str]]
