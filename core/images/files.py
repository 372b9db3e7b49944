"""Sources on disk: a picture or video file, a folder of them, a pattern."""

from __future__ import annotations

import glob
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from segkit.core.errors import SourceError
from segkit.core.files import expanded
from segkit.core.images.items import Content, Contents, Context, Entry
from segkit.core.images.reading import missing, read_picture
from segkit.core.images.signature import HEAD, is_picture, is_video
from segkit.core.images.video import video_contents, video_length

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""What counts as a picture in a folder. Some need a decoder that may be absent: better reported than passed over."""

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
"""What counts as a video in a folder."""


def paths(source: Any, context: Context) -> Sequence[Entry] | None:
    """A file, a folder of pictures and videos (sorted, not recursive), or a pattern of such files."""
    if not isinstance(source, str | Path):
        return None
    text = str(source)
    path = expanded(text)
    mode = mode_of(path)
    if stat.S_ISDIR(mode):
        return [file_entry(found, context) for found in _files_in(path)]
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # /dev/zero never ends
        raise SourceError(source, "it is a device, not a picture file")
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):  # may wait for ever for somebody who writes
        raise SourceError(source, "it is a pipe, not a file; send its content to standard input and give '-'")
    if mode:
        return [file_entry(path, context)]
    if glob.has_magic(text):
        return [file_entry(found, context) for found in _matches(str(path))]
    raise missing(path)


def file_entry(path: Path, context: Context) -> Entry:
    """A picture or a video; which of them, its content decides when it is read."""
    return Entry(partial(_contents, path, context), str(path), partial(_length, path, context))


def mode_of(path: Path) -> int:
    """What is at `path`, as `stat` tells it; 0 where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return 0
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from error


def head_of(path: Path) -> bytes:
    """The first `HEAD` bytes of a file; none if it cannot be opened: reading it will say why."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _contents(path: Path, context: Context) -> Contents:
    if _holds_video(path):
        yield from video_contents(path, str(path), context)
    else:
        yield Content(read_picture(path))


def _length(path: Path, context: Context) -> int | None:
    # By its name alone where that says a picture: a folder may hold a hundred thousand.
    if path.suffix.lower() in PICTURE_SUFFIXES or not _holds_video(path):
        return 1
    return video_length(path, str(path), context)


def _holds_video(path: Path) -> bool:
    head = head_of(path)
    return is_video(head) or (path.suffix.lower() in VIDEO_SUFFIXES and not is_picture(head))


def _files_in(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if _counts(path))
    except OSError as error:
        raise SourceError(folder, (error.strerror or str(error)).lower()) from error
    if not found:
        problem = "the folder holds no pictures or videos (subfolders are searched with a pattern: '**/*.jpg')"
        raise SourceError(folder, problem)
    return found


def _matches(pattern: str) -> list[Path]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = sorted(path for path in map(Path, names) if _counts(path))
    if not found:
        problem = f"none of the {len(names)} names that match is a picture or video"
        raise SourceError(pattern, problem if names else "nothing matches this pattern")
    return found


def _counts(path: Path) -> bool:
    """Whether a file of a folder is one of its pictures and videos: by its suffix, without one by its content."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix:
        return path.suffix.lower() in PICTURE_SUFFIXES + VIDEO_SUFFIXES
    head = head_of(path)
    return is_picture(head) or is_video(head)
