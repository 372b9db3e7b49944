"""Showing pictures while they are made: in a notebook, in a window of OpenCV, or in the system's own viewer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segkit.core.errors import OptionError
from segkit.core.images import Picture
from segkit.core.inference.saving import write_picture

NO_SCREEN = (
    "Option show=True has nowhere to show pictures: no notebook, no window and no viewer was found here. "
    "Give save=True instead, and look at the files."
)
NO_WINDOW = (
    "Option show=True of a video needs a notebook, or a window, which this OpenCV (opencv-python-headless) cannot "
    "open. Give save=True instead, and play the file; or install opencv-python in the place of the other."
)

PAUSE = 500
"""Milliseconds that a window shows a picture among others. The last one stays until a key is pressed."""

STILL, MOVING = 1920, 960
"""Longest sides in pixels of a picture, and of a frame of a video, in a notebook."""

INTERVAL = 0.125
"""Seconds between two frames in a notebook: Jupyter cuts off what sends more than 1 MB a second."""


_STARTED: list[subprocess.Popen[bytes]] = []
"""Viewers that may still run; nobody waits for them."""


class Display(ABC):
    """A place to look at pictures."""

    @abstractmethod
    def show(self, picture: Picture, title: str, *, moving: bool = False) -> bool:
        """Show (H, W, 3) BGR; a `moving` one takes the place of the last one of that title.

        Returns:
            Whether to go on: no, if the user closed the window.

        Raises:
            OptionError: it cannot show videos.
        """

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """Called when the last picture was shown, but not after an error."""

    def close(self) -> None:  # noqa: B027
        """Take away what would stay open for nothing."""


class Notebook(Display):
    """Below the cell. The frames of a video take each other's place, a few a second."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._handles: dict[str, Any] = {}
        self._skipped: dict[str, Picture] = {}
        self._due = 0.0

    def show(self, picture: Picture, title: str, *, moving: bool = False) -> bool:
        """As a JPEG; frames in a small one, and not all of them."""
        from IPython.display import Image, display

        if not moving:
            display(_jpeg(Image, _preview(picture, STILL), 92))  # type: ignore[no-untyped-call]
            return True
        now = time.monotonic()
        if title in self._handles and now < self._due:
            self._skipped[title] = picture
            return True
        self._due = now + INTERVAL / max(len(self._handles), 1)
        self._skipped.pop(title, None)
        image = _jpeg(Image, _preview(picture, MOVING), 80)
        if title in self._handles:
            self._handles[title].update(image)
        else:
            self._handles[title] = display(image, display_id=True)  # type: ignore[no-untyped-call]
        return True

    def finish(self) -> None:
        """What stays is the last frame of each video."""
        self._due = 0.0
        for title, picture in list(self._skipped.items()):
            self.show(picture, title, moving=True)
            self._due = 0.0


class Window(Display):
    """A window of OpenCV for each title; q or Esc in it, or its close button, ends the run."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open: set[str] = set()
        self._standing: str | None = None

    def show(self, picture: Picture, title: str, *, moving: bool = False) -> bool:
        """Frames as fast as they come, pictures long enough to see what they are."""
        name = title if moving else "segkit"
        if name not in self._open:
            cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(name, *_on_screen(picture))
            self._open.add(name)
        elif not _stands(name):
            return False
        if not moving:
            cv2.setWindowTitle(name, title)
        cv2.imshow(name, picture)
        self._standing = None if moving else name
        return cv2.waitKey(1 if moving else PAUSE) & 0xFF not in (ord("q"), 27)

    def finish(self) -> None:
        """Leave the last picture until a key is pressed or its window closed."""
        while self._standing and _stands(self._standing):
            if cv2.waitKey(100) >= 0:
                break

    def close(self) -> None:
        """Close the windows of this run."""
        for name in self._open:
            if _stands(name):
                cv2.destroyWindow(name)
        self._open.clear()


class Viewer(Display):
    """The system's program for pictures, which gets a file in the folder for temporary files and is not waited for."""

    def __init__(self, program: str) -> None:
        """`program` takes the path of a picture; empty on Windows, which knows by itself."""
        self._program = program

    @cached_property
    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="segkit-show-"))  # stays: the viewer may read the file at any time

    def show(self, picture: Picture, title: str, *, moving: bool = False) -> bool:
        """One file a picture."""
        if moving:
            raise OptionError(NO_WINDOW)
        number = sum(1 for _ in self._folder.iterdir()) + 1
        path = self._folder / f"{number}-{Path(title).stem or 'picture'}.png"
        write_picture(path, picture)
        if sys.platform == "win32":
            os.startfile(path)
        else:
            null = subprocess.DEVNULL
            command = [self._program, str(path)]
            _STARTED[:] = [each for each in _STARTED if each.poll() is None]  # and those that have ended are gone
            _STARTED.append(subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True))
        return True


def open_display(*, viewer_first: bool = False) -> Display:
    """The best place to show pictures here; `viewer_first` for a single one that is to stay.

    Raises:
        OptionError: there is none.
    """
    if _in_notebook():
        return Notebook()
    viewer = _viewer()
    if _has_windows() and not (viewer_first and viewer):
        return Window()
    if viewer is None:
        raise OptionError(NO_SCREEN)
    return viewer


def _in_notebook() -> bool:
    """Whether an IPython kernel runs this, which has a front end to draw; it is imported then."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None


def _has_windows() -> bool:
    """Whether this OpenCV can open a window here. Asking costs nothing; opening one in vain can end the process."""
    if "NONE" in (cv2.currentUIFramework().upper() or "NONE"):
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY"))


def _viewer() -> Viewer | None:
    """The program that opens pictures here, if there is one and a screen for it."""
    if sys.platform == "win32":
        return Viewer("")
    if sys.platform == "darwin":
        return Viewer("open")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    program = shutil.which("xdg-open") if screen else None
    return Viewer(program) if program else None


def _stands(window: str) -> bool:
    """Whether a window of that name is still there: some builds of OpenCV answer, some raise, once it was closed."""
    try:
        return cv2.getWindowProperty(window, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:
        return False


def _on_screen(picture: Picture) -> tuple[int, int]:
    """(width, height) of a window for it: no larger than most screens."""
    height, width = picture.shape[:2]
    scale = min(1280 / width, 800 / height, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _preview(picture: Picture, longest: int) -> Picture:
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _jpeg(image: Any, picture: Picture, quality: int) -> Any:
    """An IPython `image` of the picture."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return image(data=data.tobytes(), format="jpeg")
