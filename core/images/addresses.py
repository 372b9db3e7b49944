"""Http(s) addresses of pictures, videos and streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from segkit.core.errors import SourceError
from segkit.core.http import AddressError, is_address, masked, name_in, opened
from segkit.core.images.fetch import fetch, name_of
from segkit.core.images.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from segkit.core.images.items import Contents, Context, Entry
from segkit.core.images.streams import stream_entry
from segkit.core.images.video import bytes_contents, passing_video

VIDEO_LIMIT = 8 << 30
"""Bytes; a larger video is better downloaded once by its user."""

_STREAM_SUFFIXES = (".m3u8", ".mjpeg", ".mjpg")
_STREAM_TYPES = (
    *("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"),
    "multipart/x-mixed-replace",
)
_LOGIN = re.compile(r"\w+://[^/?#]*@")
_ENDLESS = {".flv": "video/x-flv", ".ts": "video/mp2t"}
"""Kinds of video that are sent live as well; without a length they are."""


def address(source: Any, context: Context) -> Sequence[Entry] | None:
    """A picture, a video or a stream at an http(s) address: as its suffix says, else as the server does.

    A picture is fetched, and a video kept in a temporary file while it is read, when its turn comes.
    """
    if not is_address(source):
        return None
    suffix = PurePosixPath(name_in(source)).suffix.lower()
    if suffix in _STREAM_SUFFIXES:
        return [stream_entry(source, context)]
    if suffix in PICTURE_SUFFIXES:
        return [_picture(source, context)]
    if suffix in VIDEO_SUFFIXES and suffix not in _ENDLESS:
        return [_video(source, context)]
    if _LOGIN.match(source):  # cameras have one; ffmpeg can use it, and nothing else here does
        return [stream_entry(source, context)]
    kind, has_length = _asked(source)
    endless = suffix in _ENDLESS or kind in _ENDLESS.values()
    if kind in _STREAM_TYPES or (endless and not has_length):
        return [stream_entry(source, context)]
    if endless or kind.startswith("video/"):
        return [_video(source, context)]
    return [_picture(source, context)]


def _picture(source: str, context: Context) -> Entry:
    """What seems to be a picture; its content decides."""
    return Entry(partial(_fetched, source, context), name_of(source))


def _fetched(source: str, context: Context) -> Contents:
    try:
        data = fetch(source)
    except SourceError as error:
        raise SourceError(masked(source), masked(error.problem)) from error
    yield from bytes_contents(data, masked(source), context)


def _video(source: str, context: Context) -> Entry:
    return passing_video(partial(_pieces, source), name_of(source), masked(source), context)


def _pieces(source: str) -> Iterator[bytes]:
    received = 0
    try:
        with opened(source) as answer:
            if answer.is_page():
                raise SourceError(masked(source), "the answer is a web page, not a video")
            while piece := answer.read(1 << 20):
                received += len(piece)
                if received > VIDEO_LIMIT:
                    problem = f"it holds more than {VIDEO_LIMIT >> 30} GB; download it yourself and give the file"
                    raise SourceError(masked(source), problem)
                yield piece
    except AddressError as error:
        raise SourceError(masked(source), masked(error.problem)) from error


def _asked(source: str) -> tuple[str, bool]:
    """The type of content that the server names, and whether it tells its length."""
    try:
        with opened(source) as answer:
            return (answer.header("Content-Type") or "").partition(";")[0].strip().lower(), answer.length is not None
    except AddressError as error:
        raise SourceError(masked(source), masked(error.problem)) from error
