"""Http(s) addresses: whether the network may be used, and one bounded request with every failure in words."""

from __future__ import annotations

import os


def is_address(source: object) -> bool:
    """Whether something a user gave is an http(s) address."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def is_offline() -> bool:
    """Whether SEGKIT_OFFLINE forbids the network."""
    return os.environ.get("SEGKIT_OFFLINE", "") not in ("", "0")
