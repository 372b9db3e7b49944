"""Video files, written frame by frame: hidden until they are whole, however the run ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from segkit.core.errors import OutputError
from segkit.core.files import output_error
from segkit.core.images import Picture, Size
from segkit.core.images.chatter import quiet_ffmpeg, silent

CODECS = ("avc1", "mp4v")
"""What an mp4 is encoded with, the first that works: H.264, which browsers play, where this OpenCV has an encoder (its
usual package for Linux has none), else MPEG-4 Part 2. VP9 plays in browsers too, but takes 70 times as long."""

RESERVE = 8 << 20
"""Bytes that must stay free on the disk: enough for the index that ends a file, so that what there is can be played."""

CHECKED_EVERY = 16
"""Frames between two looks at the free space."""


class VideoFile:
    """One .mp4 in the making. OpenCV reports no failed write, so the space is watched and the end is checked."""

    def __init__(self, path: Path, size: Size, rate: float) -> None:
        """Begin to write.

        Args:
            path: the name it gets when it is closed; until then it lies beside it under a hidden one.
            size: (height, width) of the frames; odd sides grow by the pixel that the codecs need.
            rate: frames a second.

        Raises:
            OutputError: the place cannot be written, or no encoder takes such frames.
        """
        self.path = path
        self.frames = 0
        self._closed = False
        self._size: Size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._partial = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.partial.mp4")
        _require_room(path)
        self._writer = self._open(rate)

    def _open(self, rate: float) -> cv2.VideoWriter:
        try:
            str(self._partial).encode()
            self._partial.touch()
        except OSError as error:
            raise output_error(self.path, error) from error
        except UnicodeEncodeError:
            raise OutputError(self.path, "its folder has a name that is not UTF-8; choose another one") from None
        height, width = self._size
        with silent():
            for codec in _codecs():
                writer = cv2.VideoWriter(str(self._partial), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
                if writer.isOpened():
                    return writer
        self._partial.unlink(missing_ok=True)
        raise OutputError(self.path, f"this OpenCV has no encoder for a video of {width}x{height}")

    def write(self, picture: Picture, times: int = 1) -> None:
        """Add a frame (H, W, 3) BGR uint8, shown for `times` frames; one of another size is scaled to that of the file.

        Raises:
            OutputError: the disk is full. The file is closed before: it holds the frames until then.
        """
        fitted = _fitted(picture, self._size)
        for _ in range(times):
            self._writer.write(fitted)
            self.frames += 1
            if self.frames % CHECKED_EVERY == 0:
                try:
                    _require_room(self.path)
                except OutputError:
                    self.close()
                    raise

    def close(self) -> None:
        """Finish the file and give it its name; nothing the second time.

        Raises:
            OutputError: it could not be written to its end; nothing of it stays.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.release()
        try:
            if not _is_whole(self._partial):
                with self._partial.open("ab") as file:  # what a write says now is what it said before
                    file.write(bytes(RESERVE))
                raise OutputError(self.path, "the video could not be written to its end; is the disk full?")
            self._partial.replace(self.path)
        except OSError as error:
            raise output_error(self.path, error) from error
        finally:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)


def _require_room(path: Path) -> None:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise output_error(path, error) from error
    if free < RESERVE:
        raise OutputError(path, "the disk is full")


def _fitted(picture: Picture, size: Size) -> Picture:
    """`picture` in the size of the file: with its last row or column twice where a side is odd."""
    if picture.shape[:2] == size:
        return picture
    bottom, right = size[0] - picture.shape[0], size[1] - picture.shape[1]
    if bottom in (0, 1) and right in (0, 1):
        return cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _is_whole(path: Path) -> bool:
    """Whether an mp4 has its index, which is written last, and ends where its boxes end (ISO/IEC 14496-12, 4.2)."""
    end, indexed = path.stat().st_size, False
    with path.open("rb") as file:
        place = 0
        while place + 8 <= end:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:], "big")
            if length < 8:
                return False
            indexed |= head[4:8] == b"moov"
            place += length
    return indexed and place == end


@lru_cache(maxsize=1)
def _codecs() -> tuple[str, ...]:
    """Those of CODECS that can be written here, found out by writing a little of each, once a process."""
    quiet_ffmpeg()
    with _muted(), tempfile.TemporaryDirectory(prefix="segkit-codec-") as folder:
        return tuple(codec for codec in CODECS if _works(codec, Path(folder) / f"{codec}.mp4"))


def _works(codec: str, path: Path) -> bool:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (64, 64))
    if not writer.isOpened():
        return False
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    return path.exists() and _is_whole(path)


_muting = threading.Lock()


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Nothing reaches the process's standard error: there an absent encoder complains, past Python and its switches,
    where ffmpeg was in use before segkit could silence it.
    """
    with _muting, contextlib.ExitStack() as undo:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
            sys.stderr.flush()
            kept = os.dup(2)
            undo.callback(os.close, kept)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            undo.callback(os.close, nowhere)
            undo.callback(os.dup2, kept, 2)
            os.dup2(nowhere, 2)
        yield
