"""OpenCV and the ffmpeg inside it keep to themselves what they think of a file: segkit says it, in one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import cv2

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET = "-8"  # AV_LOG_QUIET
_SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT

_lock = threading.Lock()
_users = 0
_before = 3


@contextmanager
def silent() -> Iterator[None]:
    """Nothing of OpenCV on the terminal meanwhile; nests, and may be held by several threads at once.

    OpenCV's own level is that of the whole process, so it is restored when the last holder leaves.
    """
    global _users, _before
    with _lock:
        if not _users:
            _before = _set_level(_SILENT)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _set_level(_before)


def _set_level(level: int) -> int:
    """Set OpenCV's level of logging, which has moved between its versions 4.12 and 4.14; gives the one before."""
    home: Any = getattr(cv2.utils, "logging", cv2)
    before: int = home.setLogLevel(level)
    return before


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
