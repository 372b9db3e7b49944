"""Everything a user may pass as `source`, as one lazy run of pictures.

What a source is, is decided by the kinds in `segkit.core.images.kinds`; this module numbers, reads and reports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property

from segkit.core.errors import OptionError, SourceError
from segkit.core.images.items import Content, Entry, Item, one
from segkit.core.images.kinds import expand

__all__ = ["Item", "Sources", "open_sources"]


class Sources:
    """An iterable of `Item`s. Nothing is kept once it is handed out.

    A source of one entry raises its SourceError; among several an unreadable one is an `Item` with `error`, and the
    rest goes on. A video that breaks off is an `Item` with `error` after its readable frames.
    """

    def __init__(self, entries: Sequence[Entry], *, ahead: int = 1) -> None:
        """`entries` in order; `ahead` pictures are read by a thread while the current one is worked on."""
        self._entries = entries
        self._ahead = ahead
        self.live = any(entry.live for entry in entries)
        """Whether it may never end: a camera, a stream or the screen is part of it."""

    def __len__(self) -> int:
        """Number of items, as `known_length`.

        Raises:
            TypeError: it is not known before the end.
        """
        if self.known_length is None:
            raise TypeError("the length of this source is not known before its end")
        return self.known_length

    @cached_property
    def known_length(self) -> int | None:
        """Number of items, or None where only the end will tell.

        Exact for pictures. Videos are opened for it, and some tell an estimate: good for a progress bar.
        """
        if self.live:
            return None
        total = 0
        for entry in self._entries:
            length = entry.length()
            if length is None:
                return None
            total += length
        return total

    def __iter__(self) -> Generator[Item, None, None]:
        """Items in order. Close it to stop early: captures and threads end with it.

        Raises:
            SourceError: the only entry cannot be read, or a live stream is lost for good.
        """
        # A live stream has a thread of its own, and what is read ahead of the user would be old when its turn comes.
        alone = len(self._entries) == 1 and self._entries[0].length is one
        ahead = 0 if self.live or alone else self._ahead
        with closing(self._items()) as items:
            yield from _read_ahead(items, ahead) if ahead else items

    def _items(self) -> Generator[Item, None, None]:
        index = 0
        for entry in self._entries:
            start = index
            with closing(entry.contents()) as contents:
                try:
                    for content in contents:
                        if content is not None:
                            path = content.path or entry.path or _name(content, start)
                            yield Item(index, path, content.picture, content.tensor, content.error, content.frame)
                            index += 1
                except SourceError as error:
                    if len(self._entries) == 1 and (entry.live or index == start):
                        raise
                    yield Item(index, entry.path or f"image{start}.jpg", error=error)
                    index += 1


def open_sources(source: object, *, ahead: int = 1, vid_stride: int = 1, stream_buffer: bool = False) -> Sources:
    """The pictures of `source`, read lazily.

    Args:
        source: any of

            - a picture or video file (its content decides, not its name), or its http(s) address;
            - a folder of them (sorted, not recursive) or a pattern (`*`, `?`, `[…]`, `**`);
            - a list of sources: a Python list, a `.txt` file (one a line), a `.csv` file (the column that its
              first row calls path, source, image, file, filename, file_name or url, else the first);
            - a live source: a camera's number (0 or "0"), an address (rtsp, rtmp, tcp, udp; http for HLS and MJPEG), or
              `screen [number [left top width height]]`; a `.streams` file lists several to be read in turns, and those
              of any other list come together after the rest of it. A stream that is lost is tried again
              `live.RECONNECTS` times, with growing pauses;
            - a picture array (uint8: (H, W, 3) BGR, (H, W, 4) BGRA or (H, W) grey), a Pillow image, a torch tensor
              (RGB 0..1: (3, H, W) or (B, 3, H, W), network input as it is), or the bytes of a picture or video file;
            - `-` for standard input: the bytes of one file, or a list of sources, one a line.

            Of an animation (GIF, PNG, WebP) and of a file with several pages the first picture is read.
        ahead: how many pictures to read ahead of the one being worked on (a batch reads best with its own size); live
            sources are never read ahead.
        vid_stride: use the first of every `vid_stride` frames of a video or stream.
        stream_buffer: hand out every frame of a live stream, from a queue of `live.BUFFER`, instead of the newest.

    Raises:
        SourceError: nothing there, no picture in it, or not a kind of source.
        OptionError: `vid_stride` is below 1.
    """
    if vid_stride < 1:
        raise OptionError.invalid("vid_stride", vid_stride, "it must be at least 1")
    return Sources(expand(source, vid_stride=vid_stride, stream_buffer=stream_buffer), ahead=ahead)


def _read_ahead(items: Generator[Item, None, None], ahead: int) -> Iterator[Item]:
    """`items`, all read by one other thread, `ahead` of the one that is handed out."""
    with ThreadPoolExecutor(1, thread_name_prefix="segkit-reader") as reader:
        waiting: deque[Future[Item | None]] = deque(reader.submit(next, items, None) for _ in range(ahead))
        try:
            while True:
                waiting.append(reader.submit(next, items, None))
                item = waiting.popleft().result()
                if item is None:
                    return
                yield item
        finally:
            for future in waiting:
                future.cancel()


def _name(content: Content, place: int) -> str:
    """What has no name is called by its place; all frames of a video alike."""
    return f"image{place}.jpg" if content.frame is None else f"video{place}.mp4"
