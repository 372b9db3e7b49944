"""The folder of a web page: what segkit wrote there, so that nothing of anybody else's is replaced with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from segkit.core.backend.placement import check_target
from segkit.core.errors import OutputError
from segkit.core.files import output_error

SETTINGS = "page.json"
"""What the page reads first; it also tells that a folder is such a page, and what was written there."""

KIND = "segkit web page"

_KIND, _FILES = "kind", "files"
_DIGITS = 16
"""Of a file's sum: nobody forges it."""


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Put SETTINGS into the folder of a page, with the sums of all its files."""
    settings = json.loads(json.dumps({_KIND: KIND, **settings}))  # as they will be read
    sums = {name: _sum(folder / name) for name in _inside(folder)} | {SETTINGS: _sum_of(settings)}
    text = json.dumps({**settings, _FILES: sums}, ensure_ascii=False, indent=1)
    (folder / SETTINGS).write_text(f"{text}\n", encoding="utf-8")


def check_folder(target: Path) -> None:
    """A page is replaced whole; a folder of anything else, and whatever was put into one, is somebody's work.

    Raises:
        OutputError: it is one, holds something else besides, or cannot be written.
    """
    check_target(target, folder=True)
    try:
        if target.is_dir() and any(target.iterdir()):
            _check_page(target)
    except OSError as error:
        raise output_error(target, error) from error


def sum_of_files(folder: Path) -> str:
    """Of a folder's content, names included, or of a file: 8 hexadecimal digits, for a name."""
    sums = {name: _sum(folder / name) for name in _inside(folder)} if folder.is_dir() else _sum(folder)
    return _sum_of(sums)[:8]


def _check_page(target: Path) -> None:
    try:
        settings = json.loads((target / SETTINGS).read_bytes())
        is_page = settings.pop(_KIND) == KIND
        sums = settings.pop(_FILES)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        is_page, sums = False, None
    if not is_page or not isinstance(sums, dict):
        raise OutputError(
            target, "a folder of that name is in the way, and it is no page of segkit; give another output="
        )
    for name in _inside(target):
        if name not in sums:
            raise _kept(target, f"holds '{name}', which is no part of the page")
        own = _sum_of({_KIND: KIND, **settings}) if name == SETTINGS else _sum(target / name)
        if own != sums[name] or (target / name).is_symlink():
            raise _kept(target, f"holds '{name}', which was changed since")


def _kept(target: Path, what: str) -> OutputError:
    return OutputError(
        target, f"the page would be replaced whole, and it {what}; move that away or give another output="
    )


def _inside(folder: Path) -> list[str]:
    """All but folders, as paths in it; a link is what it is, wherever it leads."""
    found = sorted(folder.rglob("*"))
    return [path.relative_to(folder).as_posix() for path in found if path.is_symlink() or not path.is_dir()]


def _sum(file: Path) -> str | None:
    """None for what is no file."""
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:_DIGITS]


def _sum_of(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
