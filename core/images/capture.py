"""An open video, camera or stream: frames one by one, through OpenCV."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture
from segkit.core.images.chatter import quiet_ffmpeg, silent
from segkit.core.images.reading import MAX_PIXELS

OPEN_TIMEOUT = 10.0
"""Seconds without an answer before a stream counts as absent."""

READ_TIMEOUT = 10.0
"""Seconds without a frame before a stream counts as lost."""

# A name or address goes to ffmpeg alone where OpenCV has it: other backends would take it for a pattern of pictures.
_BACKEND = cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
_MOST_FRAMES = 1 << 31  # a day at 24000 a second: more is the nonsense that ffmpeg gives for "unknown"
_MOST_RATE = 1000.0
_WHOLE = 0.9  # of the frames and of the time that a file tells: less is a file that breaks off, not a bad estimate


class Capture:
    """Frames of one video or stream, to be used by one thread at a time; a context manager that closes it.

    `count` and `rate` are what the source tells of its frames (the count may be an estimate), None where it does not.
    A video that was filmed with the camera turned is given upright.
    """

    def __init__(self, connect: Callable[[], cv2.VideoCapture], label: str, problem: str) -> None:
        """Open it; the terminal is kept clear of OpenCV until it is closed.

        Args:
            connect: makes the capture.
            label: what to call the source in an error.
            problem: what to say when it cannot be opened.

        Raises:
            SourceError: it cannot be opened, or its frames are larger than `MAX_PIXELS`.
        """
        self._label = label
        self._time = 0.0
        with ExitStack() as stack:
            stack.enter_context(silent())
            quiet_ffmpeg()
            try:
                self._capture = connect()
            except cv2.error as error:
                raise SourceError(label, problem) from error
            stack.callback(self._capture.release)
            if not self._capture.isOpened():
                raise SourceError(label, problem)
            self._check_size()
            self._open = stack.pop_all()
        count, rate = self._told(cv2.CAP_PROP_FRAME_COUNT), self._told(cv2.CAP_PROP_FPS)
        self.count = int(count) if 1 <= count < _MOST_FRAMES else None
        self.rate = rate if 0 < rate <= _MOST_RATE else None

    @classmethod
    def of_file(cls, path: Path, label: str, problem: str) -> Capture:
        """Open a video file; a SourceError also where its name is not UTF-8."""
        # An absolute path cannot be taken for an option, a protocol or a pattern of ffmpeg's.
        name = _utf8(str(path.absolute()), label)
        return cls(lambda: cv2.VideoCapture(name, _BACKEND), label, problem)

    @classmethod
    def of_stream(cls, address: str, label: str, problem: str) -> Capture:
        """Open a stream by its address; opening and each frame take at most `OPEN_TIMEOUT` and `READ_TIMEOUT`."""
        name = _utf8(address, label)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(OPEN_TIMEOUT * 1e3)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(READ_TIMEOUT * 1e3)]
        return cls(lambda: cv2.VideoCapture(name, _BACKEND, limits), label, problem)

    @classmethod
    def of_camera(cls, number: int, label: str, problem: str) -> Capture:
        """Open a camera."""
        return cls(lambda: cv2.VideoCapture(number), label, problem)

    def __enter__(self) -> Self:
        """The capture."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self._open.close()

    def advance(self) -> bool:
        """Go to the next frame without converting it; False at the end, or where the source is damaged or lost."""
        try:
            if not self._capture.grab():
                return False
        except cv2.error:
            return False
        self._time = max(self._time, self._told(cv2.CAP_PROP_POS_MSEC) / 1e3)
        return True

    def picture(self) -> Picture | None:
        """The frame it stands at: (height, width, 3) BGR uint8, the caller's own; None if it cannot be decoded."""
        try:
            ok, pixels = self._capture.retrieve()
        except cv2.error:
            return None
        if not ok or pixels is None or pixels.dtype != np.uint8:
            return None
        return pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]

    def is_whole(self, number: int) -> bool:
        """Whether an end after `number` frames agrees with what the source tells.

        A count may be wrong where frames vary in length, and a time may be; a file that breaks off lacks both.
        """
        if self.count is None or number >= _WHOLE * self.count:
            return True
        return self.rate is not None and self._time >= _WHOLE * self.count / self.rate

    def _told(self, what: int) -> float:
        told = self._capture.get(what)
        return told if math.isfinite(told) else 0.0

    def _check_size(self) -> None:
        width, height = self._told(cv2.CAP_PROP_FRAME_WIDTH), self._told(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            size = f"its frames of {width:.0f}x{height:.0f} pixels are"
            raise SourceError(self._label, f"{size} over the limit of {MAX_PIXELS / 1e6:.0f} megapixels")


def _utf8(name: str, label: str) -> str:
    """`name`, unless it holds bytes of a file name that are no text: OpenCV would end the process over it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(label, "videos are opened by names in UTF-8 only; rename the file or its folder") from None
    return name
