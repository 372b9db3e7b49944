"""OpenCV and the ffmpeg inside it keep to themselves what they think of a file: segkit says it, in one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET = "-8"  # AV_LOG_QUIET

_lock = threading.Lock()
_users = 0
_before = cv2.utils.logging.LOG_LEVEL_WARNING


@contextmanager
def silent() -> Iterator[None]:
    """Nothing of OpenCV on the terminal meanwhile; nests, and may be held by several threads at once.

    OpenCV's own level is that of the whole process, so it is restored when the last holder leaves.
    """
    global _users, _before
    with _lock:
        if not _users:
            _before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                cv2.utils.logging.setLogLevel(_before)


@cache
def quiet_ffmpeg() -> None:
    """Once a process, before its first capture: ffmpeg's level is read then, and holds for good.

    A level that the user chose in the environment stands; ours is taken back, so that no other process inherits it.
    """
    if _FFMPEG_LEVEL in os.environ:
        return
    os.environ[_FFMPEG_LEVEL] = _QUIET
    try:
        cv2.VideoCapture("", cv2.CAP_FFMPEG)  # opens nothing, but starts ffmpeg
    finally:
        del os.environ[_FFMPEG_LEVEL]
