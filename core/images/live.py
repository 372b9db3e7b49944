"""Live sources: a thread reads each of them, so that a slow consumer sees what is happening now."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from segkit.core.errors import SourceError
from segkit.core.images.capture import Capture
from segkit.core.images.items import Content, Contents, Context, Entry, Frame
from segkit.core.notices import notice

RECONNECTS = 5
"""Attempts in a row to reach a stream again that was lost; a frame starts the count anew."""

PAUSE = 0.5
"""Seconds before the first of these attempts; each further one waits twice as long (0.5, 1, 2, 4, 8)."""

BUFFER = 30
"""Frames that `stream_buffer` queues. When the queue is full the reader waits, and the sender has to."""

_PROMPT = 1.0  # seconds that a caller waits for the next frame of a stream that runs
_LATE = 0.02  # and of one that has not given any lately: others may be waiting for their turn
_FAREWELL = 2.0  # seconds that a consumer who stops waits for the thread


class LiveReader:
    """Frames of one live source, which a thread of its own reads until the consumer stops.

    Without `stream_buffer` a new frame replaces the one that nobody took. A source that cannot be opened at first is an
    error at once; one that is lost later is tried again `RECONNECTS` times.
    """

    def __init__(self, connect: Callable[[], Capture], label: str, context: Context) -> None:
        """`connect` opens the source, `label` is what to call it."""
        self._connect, self._label, self._context = connect, label, context
        self._frames: deque[Content] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._ended = False
        self._failure: BaseException | None = None
        self._number = 0
        self._thread = threading.Thread(target=self._run, name="segkit-stream", daemon=True)

    def contents(self) -> Contents:
        """Frames as they come; None where nothing came for a while.

        Raises:
            SourceError: it cannot be opened, or is lost for good.
        """
        wait = _LATE
        self._thread.start()
        try:
            while (content := self._take(wait)) is not None or not self._ended or self._frames:
                wait = _LATE if content is None else _PROMPT
                yield content
            if self._failure is not None:
                raise self._failure
        finally:
            self._close()

    def _take(self, wait: float) -> Content | None:
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, wait)
            content = self._frames.popleft() if self._frames else None
            self._changed.notify_all()
        return content

    def _close(self) -> None:
        """Stop the thread. One that waits for a frame ends, and frees its capture, when that comes or is given up."""
        with self._changed:
            self._stop.set()
            self._frames.clear()
            self._changed.notify_all()
        self._thread.join(_FAREWELL)

    # -- on the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:  # the consumer's thread raises it
            self._failure = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _follow(self) -> None:
        """Read until the consumer stops, the source ends by its own account, or is lost for good."""
        lost = 0
        while True:
            before = self._number
            try:
                with self._connect() as capture:
                    if self._read(capture):
                        return
            except SourceError:
                if not self._number:
                    raise
            if not self._number:
                raise SourceError(self._label, "the stream was opened, but gave no frame")
            lost = 1 if self._number > before else lost + 1
            if lost > RECONNECTS:
                problem = f"the stream was lost after {self._number} frames, and {RECONNECTS} attempts to reach it"
                raise SourceError(self._label, f"{problem} again failed")
            if lost == 1:
                notice(f"{self._label}: lost after {self._number} frames, trying to reach it again")
            if self._stop.wait(PAUSE * 2 ** (lost - 1)):
                return

    def _read(self, capture: Capture) -> bool:
        """Pass frames on until the connection breaks; True if there is nothing more to come."""
        start = self._number
        while not self._stop.is_set():
            if not capture.advance():
                return capture.count is not None and capture.is_whole(self._number - start)
            self._number += 1
            if (self._number - 1) % self._context.vid_stride:
                continue
            picture = capture.picture()
            if picture is None:
                return False
            self._push(Content(picture, frame=Frame(self._number, None, capture.rate, live=True)))
        return True

    def _push(self, content: Content) -> None:
        with self._changed:
            if self._context.stream_buffer:
                self._changed.wait_for(lambda: len(self._frames) < BUFFER or self._stop.is_set())
            else:
                self._frames.clear()
            self._frames.append(content)
            self._changed.notify_all()


def in_turns(entries: Sequence[Entry]) -> Contents:
    """One picture of each entry, in order, then the next of each, until all have ended.

    A live entry that has no new frame is passed over; one that fails gives its error in its place and is left out from
    then on.
    """
    running = [(entry.path, entry.contents()) for entry in entries]
    try:
        while running:
            for path, contents in tuple(running):
                try:
                    content = next(contents)
                except StopIteration:
                    running.remove((path, contents))
                    continue
                except SourceError as error:
                    running.remove((path, contents))
                    content = Content(error=error)
                yield content and replace(content, path=content.path or path)
    finally:
        for _, contents in running:
            contents.close()


def together(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The same entries, with the live ones, if there are several, as one that gives their frames in turns, at the end.

    One after the other the second would never have its turn.
    """
    live = [entry for entry in entries if entry.live]
    if len(live) < 2:
        return entries
    return [*(entry for entry in entries if not entry.live), turns(live)]


def turns(entries: Sequence[Entry]) -> Entry:
    """Entries that are read in turns, as one."""

    def length() -> int | None:
        lengths = [entry.length() for entry in entries]
        known = [each for each in lengths if each is not None]
        return sum(known) if len(known) == len(lengths) else None

    return Entry(lambda: in_turns(entries), None, length, any(entry.live for entry in entries))
