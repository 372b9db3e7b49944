"""What a prediction saw, in lines: of each picture, of each video, and of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit import Results


def line(result: Results) -> str:
    """'bus.jpg  810x1080  4 persons, 1 bus  52.3 ms', the size as width x height."""
    height, width = result.orig_shape
    return f"{result.label()}  {width}x{height}  {result.verbose()}  {_milliseconds(result):.1f} ms"


def _milliseconds(result: Results) -> float:
    return sum(value or 0.0 for value in result.speed.values())


@dataclass
class _Video:
    """What was seen of one video: `last` is the number of its latest frame, `step` the distance to the one before."""

    path: str
    width: int
    height: int
    count: int | None
    last: int = 0
    step: int = 1
    frames: int = 0
    hits: int = 0
    milliseconds: float = 0.0

    def add(self, result: Results, number: int) -> None:
        self.step, self.last = max(number - self.last, 1), number
        self.frames += 1
        self.hits += bool(len(result))
        self.milliseconds += _milliseconds(result)

    @property
    def is_over(self) -> bool:
        """Whether no frame is left, as far as the file tells how many it has."""
        return self.count is not None and self.last + self.step > self.count

    def line(self) -> str:
        """'street.mp4  1280x720  300 frames, 212 with objects  52.3 ms a frame'."""
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        mean = self.milliseconds / self.frames
        return f"{self.path}  {self.width}x{self.height}  {frames}, {self.hits} with objects  {mean:.1f} ms a frame"


class Videos:
    """One line for each video, once it has ended; those of streams that are read in turns come at the end."""

    def __init__(self) -> None:
        """None was seen."""
        self._open: dict[str, _Video] = {}

    def add(self, result: Results) -> list[str]:
        """Lines of the videos that ended before this result."""
        frame = result.frame
        number = frame.number if frame else 0
        over = [
            path
            for path, video in self._open.items()
            if (number <= video.last if path == result.path else video.is_over)
        ]
        lines = [self._open.pop(path).line() for path in over]
        if frame is not None:
            height, width = result.orig_shape
            video = self._open.setdefault(result.path, _Video(result.path, width, height, frame.count))
            video.add(result, number)
        return lines

    def rest(self) -> list[str]:
        """Lines of those that are left at the end."""
        return [video.line() for video in self._open.values()]


class Report:
    """Prints a line for each picture and each video, then what is true of all; keeps the rows of a JSON document."""

    def __init__(self, output: Output, verbose: bool | None) -> None:
        """`verbose`: a line for every frame too; False: for nothing; by default for what is not a frame."""
        self._output, self._verbose = output, verbose
        self._videos = Videos()
        self._milliseconds: dict[str, float] = {}
        self.count = 0
        """Results so far."""
        self.folder: str | None = None
        self.rows: list[dict[str, Any]] = []

    def add(self, result: Results) -> None:
        """One more result."""
        self.count += 1
        self.folder = result.save_dir or self.folder
        for stage, value in result.speed.items():
            self._milliseconds[stage] = self._milliseconds.get(stage, 0.0) + (value or 0.0)
        if self._output.json:
            self.rows.append(_row(result))
        self._print(self._videos.add(result))
        if self._verbose or result.frame is None:
            self._print([line(result)])

    def close(self, unreadable: int) -> None:
        """The videos that are left; in text also the mean times, what could not be read, and where the results are."""
        self._print(self._videos.rest())
        if self._output.json:
            return
        count = self.count
        if count:
            stages = ", ".join(f"{value / count:.1f} ms {stage}" for stage, value in self._milliseconds.items())
            self._output.line(f"Speed: {stages} per picture" + (f" ({count} pictures)" if count > 1 else ""))
        if unreadable:
            self._output.line(f"{unreadable} of {count + unreadable} pictures could not be read")
        if self.folder:
            self._output.line(f"Results saved to {self.folder}")

    def _print(self, lines: Iterable[str]) -> None:
        if self._verbose is not False:
            for text in lines:
                self._output.line(text)


def _row(result: Results) -> dict[str, Any]:
    """A picture in the JSON document."""
    height, width = result.orig_shape
    return {
        "path": result.path,
        "frame": result.frame.number if result.frame else None,
        "width": width,
        "height": height,
        "speed": dict(result.speed),
        "objects": result.summary(),
    }
