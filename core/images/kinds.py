"""The kinds of source, one function each: it returns the entries of a source it knows, or None.

A new kind is one more function in `KINDS`, from a module of its theme; nothing else changes. Functions that meet a
source of their kind with a fault in it raise SourceError.
"""

from __future__ import annotations

from collections.abc import Sequence

from segkit.core.errors import SourceError
from segkit.core.images.addresses import address
from segkit.core.images.files import paths
from segkit.core.images.items import Context, Entry, Kind
from segkit.core.images.lists import list_file, several, standard_input
from segkit.core.images.memory import array, data, pillow, tensor
from segkit.core.images.screen import screen
from segkit.core.images.streams import camera, stream

ACCEPTED = (
    "a picture or video file, its http(s) address, a folder, a pattern like 'photos/**/*.jpg', a .txt, .csv or "
    ".streams file that lists sources, a camera's number, a stream (rtsp, rtmp, tcp, udp), 'screen', '-' for standard "
    "input, a numpy array (BGR, uint8), a Pillow image, a torch tensor (RGB, 0..1), the bytes of a picture or video "
    "file, or a list of these"
)

KINDS: tuple[Kind, ...] = (
    *(address, stream, standard_input, camera, screen, list_file, paths),
    *(array, tensor, pillow, data, several),
)


def expand(source: object, *, vid_stride: int = 1, stream_buffer: bool = False) -> Sequence[Entry]:
    """The entries of `source`.

    Raises:
        SourceError: nothing there, no picture in it, or not a kind of source.
    """
    return _expand(source, Context(_expand, vid_stride, stream_buffer))


def _expand(source: object, context: Context) -> Sequence[Entry]:
    if (isinstance(source, str) and not source.strip()) or (isinstance(source, list | tuple) and not source):
        raise SourceError(source, f"the {'source' if isinstance(source, str) else 'list'} is empty. Give {ACCEPTED}")
    for kind in KINDS:
        entries = kind(source, context)
        if entries is not None:
            return entries
    raise SourceError(" ".join(repr(source).split()), f"{type(source).__name__} is not a source. Give {ACCEPTED}")
