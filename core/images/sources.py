"""Everything a user may pass as `source`, as one lazy run of pictures.

What a source is, is decided by the kinds in `segkit.core.images.kinds`; this module numbers, reads and reports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor

from segkit.core.errors import SourceError
from segkit.core.images.items import Entry, Item
from segkit.core.images.kinds import expand

__all__ = ["Item", "Sources", "open_sources"]


class Sources:
    """An iterable of `Item`s. Nothing is kept once it is handed out.

    A source of one item raises its SourceError; among several an unreadable one is an `Item` with `error`, and the rest
    goes on.
    """

    def __init__(self, entries: Iterable[Entry], *, ahead: int = 1) -> None:
        """`entries` in order; `ahead` of them are read by a thread while the current one is worked on."""
        self._entries = entries
        self._ahead = ahead

    def __len__(self) -> int:
        """Number of items.

        Raises:
            TypeError: it is not known before the end; see `known_length`.
        """
        if not isinstance(self._entries, Sized):
            raise TypeError("the length of this source is not known before its end")
        return len(self._entries)

    @property
    def known_length(self) -> int | None:
        """Number of items, or None where only the end will tell."""
        return len(self._entries) if isinstance(self._entries, Sized) else None

    def __iter__(self) -> Iterator[Item]:
        """Items in order.

        Raises:
            SourceError: the only item cannot be read.
        """
        single = self.known_length == 1
        if single or not self._ahead:
            for index, entry in enumerate(self._entries):
                yield _read(index, entry, raising=single)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="segkit-reader") as reader:
            waiting: deque[Future[Item]] = deque()
            for index, entry in enumerate(self._entries):
                waiting.append(reader.submit(_read, index, entry))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def open_sources(source: object, *, ahead: int = 1) -> Sources:
    """The pictures of `source`, read lazily.

    Args:
        source: a picture file, its http(s) address, a folder of pictures (sorted, not recursive), a pattern (`*`,
            `?`, `[…]`, `**`), a picture array (uint8: (H, W, 3) BGR, (H, W, 4) BGRA or (H, W) grey), a Pillow image, a
            torch tensor (RGB 0..1: (3, H, W) or (B, 3, H, W), network input as it is), the bytes of a picture file, or
            a list of these.
        ahead: how many pictures to read ahead of the one being worked on (a batch reads best with its own size).

    Raises:
        SourceError: nothing there, no picture in it, or not a kind of source.
    """
    return Sources(expand(source), ahead=ahead)


def _read(index: int, entry: Entry, *, raising: bool = False) -> Item:
    path = f"image{index}.jpg" if entry.path is None else entry.path
    try:
        content = entry.read()
    except SourceError as error:
        if raising:
            raise
        return Item(index, path, error=error)
    return Item(index, path, content.picture, content.tensor, frame=content.frame)
