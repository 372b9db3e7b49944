"""Sources made of sources: Python lists, list files, names on standard input."""

from __future__ import annotations

import csv
import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Never

from segkit.core.errors import SourceError
from segkit.core.files import expanded
from segkit.core.http import masked
from segkit.core.images.fetch import LIMIT
from segkit.core.images.files import head_of
from segkit.core.images.items import Context, Entry
from segkit.core.images.live import together, turns
from segkit.core.images.screen import means_screen
from segkit.core.images.signature import HEAD, is_picture, is_video, text_of
from segkit.core.images.video import bytes_contents, passing_video

COLUMNS = ("path", "source", "image", "file", "filename", "file_name", "url")
"""Names of the column of a table that holds the sources, the first of them that there is."""

_TABLE, _TURNS = ".csv", ".streams"
_LISTS = (".txt", _TABLE, _TURNS)


class _LoopError(SourceError):
    """A list that holds itself: it is refused as a whole, or it would be read halfway."""


def several(source: Any, context: Context) -> Sequence[Entry] | None:
    """A list of sources. One that cannot be opened takes its place as an unreadable entry, unless all of them are."""
    if not isinstance(source, list | tuple):
        return None
    return together(_expanded(source, context))


def list_file(source: Any, context: Context) -> Sequence[Entry] | None:
    """A file that lists sources: .txt and .streams one a line, .csv in a column.

    Relative paths are those of the file's folder, else of the working folder. The sources of a .streams file are read
    in turns, one picture of each.
    """
    if not isinstance(source, str | Path) or Path(source).suffix.lower() not in _LISTS:
        return None
    path = expanded(source)
    head = head_of(path)
    if not path.is_file() or is_picture(head) or is_video(head):  # a picture with a wrong suffix is a picture
        return None
    entries = _listed(path, context)
    return [turns(entries)] if path.suffix.lower() == _TURNS else together(entries)


def standard_input(source: Any, context: Context) -> Sequence[Entry] | None:
    """`-`: the bytes of one picture or video file, or a list of sources, one a line."""
    if not isinstance(source, str) or source != "-":
        return None
    pipe = getattr(sys.stdin, "buffer", None)  # a notebook has none
    if pipe is None or sys.stdin.isatty():
        raise SourceError("standard input", "nothing is sent to it; use it as in: cat bus.jpg | segkit predict … -")
    head = pipe.read(HEAD)
    if not head:
        raise SourceError("standard input", "nothing was sent to it")
    if is_video(head):
        return [passing_video(lambda: _rest(head, pipe), "stdin.mp4", "standard input", context)]
    content = head + pipe.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise SourceError("standard input", f"it holds more than {LIMIT >> 20} MB")
    text = None if is_picture(head) else text_of(content)
    names = names_in_lines(text) if text else []
    if names:
        return together(_expanded([_placed(name, Path()) for name in names], context))
    return [Entry(lambda: bytes_contents(content, "standard input", context))]


def names_in_lines(text: str) -> list[str]:
    """The sources of a list, one a line; empty lines and those that begin with # say nothing."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def names_in_table(text: str) -> list[str]:
    """The sources of a comma-separated table.

    They stand in the column that its first row calls one of `COLUMNS` (then ; and tabs may separate, too), else in the
    first. Rows without one, and those that begin with #, say nothing.

    Raises:
        csv.Error: the quotes do not match, or a field is endless.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip() and not line.lstrip().startswith("#")]
    for separator in (",", ";", "\t"):
        rows = csv.reader(lines, delimiter=separator, strict=True)
        header = [name.strip().lower() for name in next(rows, [])]
        for column in COLUMNS:
            if column in header:
                return list(_column(rows, header.index(column)))
    return list(_column(csv.reader(lines, strict=True), 0))


def _column(rows: Iterable[list[str]], index: int) -> Iterator[str]:
    for row in rows:
        if len(row) > index and row[index].strip():
            yield row[index].strip()


def _listed(path: Path, context: Context) -> list[Entry]:
    real = path.resolve()
    if real in context.lists:
        trail = " → ".join(each.name for each in (*context.lists[context.lists.index(real) :], real))
        raise _LoopError(path, f"the list holds itself ({trail})")
    try:
        if path.stat().st_size > LIMIT:
            raise SourceError(path, f"the list holds more than {LIMIT >> 20} MB")
        text = text_of(path.read_bytes())
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from error
    if text is None:
        raise SourceError(path, "the list is not text in UTF-8")
    try:
        names = names_in_table(text) if path.suffix.lower() == _TABLE else names_in_lines(text)
    except csv.Error as error:
        raise SourceError(path, f"the table is malformed ({error})") from error
    if not names:
        raise SourceError(path, "the list names no sources")
    parts = [_placed(name, path.parent) for name in names]
    return _expanded(parts, replace(context, lists=(*context.lists, real)))


def _placed(name: str, folder: Path) -> str:
    """What a list in `folder` calls `name`: there, else in the working folder, else no path at all."""
    inside = folder / expanded(name)
    if _is_there(inside):
        return str(inside)
    no_path = "://" in name or name.isdigit() or means_screen(name) or name == "-"
    return name if no_path or _is_there(Path(name)) else str(inside)


def _is_there(path: Path) -> bool:
    try:
        return path.exists() or (glob.has_magic(str(path)) and _matches(str(path)))
    except (OSError, ValueError):  # no name of a file: too long, or with a NUL
        return False


def _matches(pattern: str) -> bool:
    return any(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns


def _expanded(parts: Sequence[Any], context: Context) -> list[Entry]:
    entries: list[Entry] = []
    errors: list[SourceError] = []
    for part in parts:
        try:
            entries.extend(context.expand(part, context))
        except _LoopError:
            raise
        except SourceError as error:
            errors.append(error)
            entries.append(_unreadable(error, str(part) if isinstance(part, str | Path) else None))
    if len(errors) == len(parts):
        raise errors[0]
    return entries


def _unreadable(error: SourceError, path: str | None) -> Entry:
    def read() -> Never:
        raise error

    return Entry.of(read, path if path is None else masked(path))


def _rest(head: bytes, pipe: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := pipe.read(1 << 20):
        yield piece
