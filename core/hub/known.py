"""Weights that have a name: the table in known.yaml, and the addresses they are published at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from segkit.core.errors import OptionError
from segkit.core.http import is_address


@dataclass(frozen=True)
class Identity:
    """A file as it must be: its SHA-256 in hex, and its size in bytes if that is known."""

    sha256: str
    size: int | None = None


@dataclass(frozen=True)
class Known:
    """Who publishes the weights under which licence, their addresses with `{name}`, and the releases of each name."""

    owner: str
    licence: str
    addresses: tuple[str, ...]
    weights: dict[str, tuple[Identity, ...]]


@cache
def known() -> Known:
    """The table."""
    import yaml

    table = yaml.safe_load(files("segkit.core.hub").joinpath("known.yaml").read_text(encoding="utf-8"))
    weights = {name: tuple(Identity(**each) for each in releases) for name, releases in table["weights"].items()}
    return Known(table["owner"], table["licence"], tuple(table["addresses"]), weights)


def addresses_of(name: str) -> list[str]:
    """Where the weights of that name may be, the first choice first; SEGKIT_WEIGHTS_URL stands for all others.

    Raises:
        OptionError: SEGKIT_WEIGHTS_URL is no http(s) address.
    """
    mirror = os.environ.get("SEGKIT_WEIGHTS_URL")
    if not mirror:
        return [address.replace("{name}", name) for address in known().addresses]
    if not is_address(mirror):
        raise OptionError.invalid(
            "SEGKIT_WEIGHTS_URL", mirror, "give an http(s) address, with {name} where the file's name belongs"
        )
    return [mirror.replace("{name}", name) if "{name}" in mirror else f"{mirror.rstrip('/')}/{name}"]
