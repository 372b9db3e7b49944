"""OpenCV and the ffmpeg inside it keep to themselves what they think of a file: segkit says it, in one line."""

from __future__ import annotations

import os
from functools import cache, partial
from typing import Any

import cv2

from segkit.core.held import Held

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET = "-8"  # AV_LOG_QUIET
_SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT


def _set_level(level: int) -> int:
    """Set OpenCV's level of logging, which has moved between its versions 4.12 and 4.14; gives the one before."""
    home: Any = getattr(cv2.utils, "logging", cv2)
    before: int = home.setLogLevel(level)
    return before


silent = Held(lambda: partial(_set_level, _set_level(_SILENT)))
"""Nothing of OpenCV on the terminal inside the block: its level is that of the whole process."""


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
