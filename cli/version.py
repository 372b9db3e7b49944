"""`segkit version`: the versions that a bug report needs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from segkit.cli.argv import Kind
from segkit.cli.command import Command, Option, Values
from segkit.cli.output import Output

EPILOG = "[bold]segkit --version[/bold] prints the version of segkit alone."


def command(words: Sequence[str]) -> Command:
    """The command."""
    short = Option("short", Kind.FLAG, "the version of segkit alone")
    return Command("version", "version", run, options=(short,), epilog=EPILOG)


def run(values: Values, output: Output) -> None:
    """Print versions; nothing heavy is imported to find them."""
    own = metadata.version("segkit")
    rows = {} if values.get("short") else _environment()
    if output.json:
        return output.document({"segkit": own} | rows)
    output.line(f"segkit {own}")
    for name, version in rows.items():
        output.line(f"{name:24} {version or 'not installed'}")
    return None


def _environment() -> dict[str, str | None]:
    """Python, the platform, and every distribution that segkit or one of its formats needs; None: not installed."""
    from segkit import formats
    from segkit.core.backend.format import installed_version

    rows: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("numpy", "opencv-python-headless", "pydantic", "typer", "rich"):
        rows[name] = installed_version(name)
    for need in (need for info in formats() for need in info.needs):
        name, version = need.installed or (need.name, None)
        rows[name] = version
    return rows
