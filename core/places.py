"""Folders of the user's, outside of any project, in which segkit keeps things."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where models are kept: `SEGKIT_CACHE`, else the folder for caches that the system has. It need not exist yet."""
    given = os.environ.get("SEGKIT_CACHE")
    if given:
        return _whole(given)
    from platformdirs import user_cache_path

    return user_cache_path("segkit", appauthor=False)


def tools_folder() -> Path:
    """Where commands of formats put what they fetch: `SEGKIT_TOOLS`, else a folder in the cache."""
    given = os.environ.get("SEGKIT_TOOLS")
    return _whole(given) if given else cache_folder() / "tools"


def _whole(given: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(given)))  # noqa: PTH100, PTH111 - never raises
