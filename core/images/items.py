"""What sources are made of: entries that can be read, and the items that reading gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture stands in a video or live stream.

    `number` counts from 1 over all frames of the source, those that `vid_stride` left out included; `count` is their
    number as the file tells it (some kinds of file only estimate it), None where only the end will tell; `rate` is
    frames a second of the source, None where it does not say.
    """

    number: int
    count: int | None = None
    rate: float | None = None
    live: bool = False


def label_of(path: str, frame: Frame | None) -> str:
    """A picture in a line of text: its path, and for a frame its number: "street.mp4 12/300"."""
    if frame is None:
        return path
    return f"{path} {frame.number}" + (f"/{frame.count}" if frame.count else "")


@dataclass(frozen=True, slots=True)
class Content:
    """One picture of an entry, or the reason why there is none.

    `tensor` is the network input as it was given, for tensors. `path` is set where it is not that of the entry:
    several streams that are read together.
    """

    picture: Picture | None = None
    tensor: NDArray[np.float32] | None = None
    frame: Frame | None = None
    path: str | None = None
    error: SourceError | None = None


Contents = Generator[Content | None, None, None]
"""The pictures of an entry, in order. None stands for "nothing new yet": it lets a caller look after other streams.

Raising SourceError ends an entry; closing frees what it holds open.
"""


def one() -> int:
    """The length of an entry that is one picture."""
    return 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to read: a picture, a video, a live stream.

    Without a `path` it lives in memory and is named by its place. `length` tells how many pictures there will be, None
    where only the end will tell; for a video it opens the file, and the answer may be an estimate.
    """

    contents: Callable[[], Contents]
    path: str | None = None
    length: Callable[[], int | None] = one
    live: bool = False

    @classmethod
    def of(cls, read: Callable[[], Content], path: str | None = None) -> Entry:
        """One picture, read when it is asked for."""
        return cls(partial(_single, read), path)


def _single(read: Callable[[], Content]) -> Contents:
    yield read()


@dataclass(frozen=True, slots=True)
class Context:
    """What a kind of source needs to know besides the source.

    `expand` opens the parts of a source that is made of other sources; `lists` are the list files it stands in,
    outermost first.
    """

    expand: Callable[[Any, Context], Sequence[Entry]]
    vid_stride: int = 1
    stream_buffer: bool = False
    lists: tuple[Path, ...] = ()


Kind = Callable[[Any, Context], Sequence[Entry] | None]
"""The entries of a source of this kind; None for a source of another. A fault in it is a SourceError."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a source, or the reason why there is none.

    `picture` is (height, width, 3) BGR uint8. `tensor` is set if the source was a tensor: (3, H, W) float32 RGB 0..1,
    network input that must not be letterboxed again; `picture` is then the same in bytes. Exactly one of `picture` and
    `error` is set. `frame` is set for pictures out of a video or stream, whose `path` all of them share.
    """

    index: int
    path: str
    picture: Picture | None = None
    tensor: NDArray[np.float32] | None = None
    error: SourceError | None = None
    frame: Frame | None = None
