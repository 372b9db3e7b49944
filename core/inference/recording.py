"""The videos of a run: which file a frame goes to, and for how long it is shown there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segkit.core.errors import OutputError
from segkit.core.images import Picture
from segkit.core.images.items import Frame
from segkit.core.inference.video import VideoFile

USUAL_RATE = 25.0
"""Frames a second of a source that does not say, or says nonsense as some cameras do."""

HIGHEST_RATE = 1000.0
"""More than this is nonsense: a clock's ticks, not frames."""

LONGEST_GAP = 10.0
"""Seconds for which a picture stands at most where frames are missing."""

IDLE = 64
"""Frames of other videos after which one that is not live is taken to have ended: a folder may hold thousands."""


@dataclass(eq=False)
class Recording:
    """One video of a run: the stem of its files, and its file once a frame is to be written.

    `first` is its first frame, `last` the number of the latest one, `passed` how far that one lies behind the one
    before; `turn` says when that was.
    """

    stem: str
    first: Frame
    stride: int
    last: int = 0
    passed: int = 0
    turn: int = 0
    file: VideoFile | None = None

    @property
    def rate(self) -> float:
        """Frames a second of the file: with every n-th frame used, the n-th part, so that it plays as long."""
        rate = self.first.rate
        return (rate if rate and 0 < rate <= HIGHEST_RATE else USUAL_RATE) / self.stride

    def advance(self, number: int, turn: int) -> None:
        """Take note of the next frame."""
        self.passed = number - self.last if self.last else self.stride
        self.last, self.turn = number, turn

    def write(self, folder: Path, picture: Picture) -> None:
        """Add the latest frame. Where some were dropped before it, as from a live stream that is faster than the
        network, it stands in for them: a minute stays a minute.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.file is None:
            self.file = VideoFile(folder / f"{self.stem}.mp4", (picture.shape[0], picture.shape[1]), self.rate)
        times = min(round(self.passed / self.stride), round(LONGEST_GAP * self.rate))
        self.file.write(picture, max(times, 1))

    def close(self) -> None:
        """Finish the file, if there is one.

        Raises:
            OutputError: it could not be written to its end.
        """
        if self.file is not None:
            self.file.close()


class Recordings:
    """Tells the videos of a run apart, also when the frames of several come in turns."""

    def __init__(self, stride: int, stem_for: Callable[[str], str]) -> None:
        """`stride`: every how many-th frame is used; `stem_for` gives the source at a path a stem of its own."""
        self._stride = stride
        self._stem_for = stem_for
        self._open: dict[str, Recording] = {}
        self._turn = 0

    def of(self, path: str, frame: Frame) -> Recording:
        """The recording that a frame belongs to. A source that begins again is another recording.

        Raises:
            OutputError: one that ended could not be written to its end.
        """
        self._turn += 1
        found = self._open.get(path)
        if found is None or frame.number <= found.last:
            self._close([found] if found else [])
            found = self._open[path] = Recording(self._stem_for(path), frame, self._stride)
        found.advance(frame.number, self._turn)
        ended = [each for each in self._open.values() if not each.first.live and self._turn - each.turn > IDLE]
        self._open = {key: each for key, each in self._open.items() if each not in ended}
        self._close(ended)
        return found

    def close(self) -> None:
        """Finish every file.

        Raises:
            OutputError: the first that could not be written to its end; the others are finished all the same.
        """
        ended, self._open = list(self._open.values()), {}
        self._close(ended)

    def _close(self, ended: list[Recording]) -> None:
        errors = []
        for each in ended:
            try:
                each.close()
            except OutputError as error:
                errors.append(error)
        if errors:
            raise errors[0]
