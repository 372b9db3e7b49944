"""Live sources: cameras by number, streams by address."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from segkit.core.errors import SourceError
from segkit.core.http import is_offline, masked
from segkit.core.images import capture
from segkit.core.images.capture import Capture
from segkit.core.images.items import Contents, Context, Entry
from segkit.core.images.live import LiveReader

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp")
"""What a stream's address may begin with, besides http and https."""

_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443}
"""Servers of these protocols can be called on without consequence, at this port unless the address names one."""


def stream(source: Any, context: Context) -> Sequence[Entry] | None:
    """A stream by its address; any other kind of address but http(s) is refused."""
    if not isinstance(source, str) or "://" not in source:
        return None
    scheme, _, rest = source.strip().partition("://")
    if scheme.lower() not in SCHEMES:
        raise SourceError(masked(source), f"only http, https, {', '.join(SCHEMES)} addresses are read")
    return [stream_entry(f"{scheme.lower()}://{rest}", context)]


def stream_entry(address: str, context: Context) -> Entry:
    """A stream that ffmpeg can open: rtsp, rtmp, tcp, udp, or HLS and MJPEG over http(s)."""
    label = masked(address)

    def connect() -> Capture:
        if is_offline():
            raise SourceError(label, "SEGKIT_OFFLINE forbids the network")
        _call_on(address, label)
        problem = f"the stream cannot be opened: refused, no video in it, or no answer in {capture.OPEN_TIMEOUT:g} s"
        return Capture.of_stream(address, label, problem)

    return _live(connect, label, context)


def _call_on(address: str, label: str) -> None:
    """Find out whether a server is there: OpenCV opens one source at a time, and an absent one would hold up others.

    Raises:
        SourceError: there is none, in words that ffmpeg keeps to itself.
    """
    try:
        parts = urlsplit(address)
        port = _PORTS.get(parts.scheme.lower())
        if port is not None:
            place = (parts.hostname or "", parts.port or port)
            socket.create_connection(place, timeout=capture.OPEN_TIMEOUT).close()
    except (OSError, ValueError) as error:  # ValueError: a port that is no number
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(label, f"the stream cannot be opened ({masked(words).lower()})") from None


def camera(source: Any, context: Context) -> Sequence[Entry] | None:
    """A camera by its number, 0 for the first; as text only where no file or folder has that name."""
    if isinstance(source, str):
        if not (source.isascii() and source.isdigit()) or len(source) > 4 or Path(source).exists():
            return None
        source = int(source)
    if not isinstance(source, int | np.integer) or isinstance(source, bool):
        return None
    number = int(source)
    label = f"camera {number}"
    if number < 0:
        raise SourceError(label, "the first camera has the number 0")
    return [_live(lambda: Capture.of_camera(number, label, f"it cannot be opened: {_cameras()}"), label, context)]


def _live(connect: Callable[[], Capture], label: str, context: Context) -> Entry:
    return Entry(partial(_contents, connect, label, context), label, lambda: None, live=True)


def _contents(connect: Callable[[], Capture], label: str, context: Context) -> Contents:
    yield from LiveReader(connect, label, context).contents()


def _cameras() -> str:
    """What is known of the cameras of this machine, in words."""
    if sys.platform != "linux":
        return "there is none of that number, another program uses it, or its use is not allowed"
    found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
    return f"this machine has {', '.join(found)}; another program may use it" if found else "this machine has none"
