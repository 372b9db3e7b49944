"""Video files: frames one by one, in the memory of one frame."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from segkit.core.errors import SourceError
from segkit.core.images.capture import Capture
from segkit.core.images.items import Content, Contents, Context, Entry, Frame
from segkit.core.images.reading import read_picture
from segkit.core.images.signature import HEAD, is_text, is_video, what_it_is

_DAMAGED = "there is no video in it that can be decoded here: damaged, unfinished, only sound, or an unknown codec"


def video_contents(path: Path, label: str, context: Context) -> Contents:
    """The first of every `vid_stride` frames of a video file.

    Raises:
        SourceError: it cannot be opened, has no frames, or breaks off (after the frames that can be read).
    """
    with _opened(path, label) as capture:
        number = decoded = 0
        while capture.advance():
            number += 1
            if (number - 1) % context.vid_stride:
                continue
            picture = capture.picture()
            if picture is None:
                break
            decoded += 1
            yield Content(picture, frame=Frame(number, capture.count, capture.rate))
        if not decoded:
            raise SourceError(label, "none of its frames can be decoded: it is damaged or has none")
        if not capture.is_whole(number):
            told = f"the video breaks off after {number} of about {capture.count} frames"
            raise SourceError(label, f"{told}: the rest is missing or damaged")


def video_length(path: Path, label: str, context: Context) -> int | None:
    """How many pictures `video_contents` will give, as the file tells it; 1 for a damaged one: its error."""
    try:
        with _opened(path, label) as capture:
            return None if capture.count is None else -(-capture.count // context.vid_stride)
    except SourceError:
        return 1


def bytes_contents(data: bytes, label: str, context: Context) -> Contents:
    """The picture or the frames of the video that these bytes of a file hold.

    Raises:
        SourceError: as `read_picture` and `video_contents`.
    """
    if is_video(data[:HEAD]):
        yield from _passing(lambda: [data], label, context)
    else:
        yield Content(read_picture(data, label))


def passing_video(pieces: Callable[[], Iterable[bytes]], path: str | None, label: str, context: Context) -> Entry:
    """A video that arrives as bytes: kept in a temporary file while it is read, since a decoder has to seek.

    Args:
        pieces: its bytes, asked for when it is read.
        path: what the items are called.
        label: what to call it in an error.
        context: as for every kind.
    """
    return Entry(partial(_passing, pieces, label, context), path, lambda: None)


def _passing(pieces: Callable[[], Iterable[bytes]], label: str, context: Context) -> Contents:
    handle, name = tempfile.mkstemp(prefix="segkit-video-")
    try:
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in pieces():
                    file.write(piece)
        except OSError as error:
            problem = f"no room for it in the folder of temporary files ({(error.strerror or str(error)).lower()})"
            raise SourceError(label, problem) from error
        yield from video_contents(Path(name), label, context)
    finally:
        Path(name).unlink(missing_ok=True)


def _opened(path: Path, label: str) -> Capture:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise SourceError(label, (error.strerror or str(error)).lower()) from error
    problem = _DAMAGED if is_video(head) else what_it_is(head, "video")
    if is_text(head):  # it may be a playlist, with which ffmpeg would go on to files that nobody gave
        raise SourceError(label, problem)
    return Capture.of_file(path, label, problem)
