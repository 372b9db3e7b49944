"""What the demo found: a row a format, whether it is good enough, and how to do the same by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from segkit._benchmark_report import BenchmarkRow, State
from segkit._demo_arguments import BEST, DemoArguments, command
from segkit._demo_pictures import Shown

PICTURES = "shapes/images/test"
"""Those held out, for somebody who does the same by hand."""


@dataclass(frozen=True)
class Overlap:
    """What a file sees, against what the weights see in the same pictures.

    Attributes:
        matched, missing, extra: objects that both see, or only one of them; `near` of those missing or extra are close
            to the threshold, and counted apart.
        mean, worst: mask IoU of those that both see; None if there are none.
    """

    matched: int
    missing: int
    extra: int
    near: int
    mean: float | None
    worst: float | None

    @classmethod
    def of(cls, totals: Mapping[str, float | None]) -> Overlap:
        """From the totals of a comparison."""
        matched, missing, extra, near = (int(totals[name] or 0) for name in ("matched", "missing", "extra", "near"))
        return cls(matched, missing, extra, near, totals["mean_mask_iou"], totals["worst_mask_iou"])


@dataclass(frozen=True)
class DemoRow:
    """A format.

    Attributes:
        row: what the benchmark found.
        path: its file, where there is one.
        overlap: how it compares with PyTorch; None for PyTorch itself.
        reason: why figures are missing.
    """

    row: BenchmarkRow
    path: Path | None
    overlap: Overlap | None = None
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether it has all figures."""
        return self.row.state is State.OK and not self.reason

    @property
    def state(self) -> State:
        """As in a benchmark; a format whose objects could not be compared has failed."""
        return State.FAILED if self.reason and self.row.state is State.OK else self.row.state


class Column(NamedTuple):
    """A column of the table: its title, and the name of what is in it with a pattern and a factor."""

    title: str
    name: str
    pattern: str
    scale: float = 1.0

    def text(self, row: DemoRow) -> str:
        """What stands in it."""
        value = row.overlap.mean if self.name == "overlap" and row.overlap else getattr(row.row, self.name, None)
        return "" if value is None else self.pattern.format(value * self.scale if self.scale != 1 else value)


COLUMNS = (
    Column("format", "format", "{}"),
    Column("MB", "size", "{:.2f}", 1e-6),
    Column("ms", "total_ms", "{:.1f}"),
    Column("box mAP", "box_map", "{:.3f}"),
    Column("mask mAP", "mask_map", "{:.3f}"),
    Column("mask IoU", "overlap", "{:.4f}"),
)
"""Milliseconds are a picture's, from its file to masks, the median of several rounds in turns; mAP is COCO's, 50-95;
the mask IoU is the mean over all objects that the format and PyTorch both see.
"""


@dataclass(frozen=True)
class DemoReport:
    """A demo: what was made, and how good it is.

    Attributes:
        folder: of everything that was made.
        page: the page that shows it.
        args: of the demo.
        data: description of the generated data set.
        weights: the trained model.
        results: its scores on the pictures held out, by the names of `YOLO.val`.
        mask_map50: of these the one that must reach `args.bound`.
        rows: one a format, PyTorch first.
        shown: pictures.
        machine: processor, and versions of what took part.
        seconds: step → how long it took.
    """

    folder: Path
    page: Path
    args: DemoArguments
    data: Path
    weights: Path
    results: Mapping[str, float]
    mask_map50: float
    rows: tuple[DemoRow, ...]
    shown: tuple[Shown, ...]
    machine: Mapping[str, str]
    seconds: Mapping[str, float]

    @property
    def reached(self) -> bool:
        """Whether the model is good enough."""
        return self.mask_map50 >= self.args.bound

    @property
    def passed(self) -> bool:
        """Whether it is, and no format failed; one that cannot work here has not."""
        return self.reached and not any(row.state is State.FAILED for row in self.rows)

    @property
    def verdict(self) -> str:
        """One sentence."""
        word = "reached" if self.reached else "NOT reached"
        about = f"on {self.args.held_out} pictures that the training never saw"
        return f"Mask mAP50 is {self.mask_map50:.3f} {about}; {self.args.bound:g} was asked for: {word}."

    @property
    def commands(self) -> tuple[str, ...]:
        """The same by hand, in an empty folder."""
        made = [(row.row.format, row.path.name) for row in self.rows[1:] if row.works and row.path]
        for_formats = [
            line
            for format, file in made
            for line in (
                command("export", model=BEST, format=format, output=file),
                command("predict", model=file, source=PICTURES),
                command("compare", BEST, file, source=PICTURES),
            )
        ]
        return (*self.args.commands().values(), *for_formats)

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        formats = [
            row.row.to_plain()
            | {"state": str(row.state), "reason": row.reason, "overlap": asdict(row.overlap) if row.overlap else None}
            for row in self.rows
        ]
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "data": str(self.data),
            "model": str(self.weights),
            "mask_map50": None if isnan(self.mask_map50) else self.mask_map50,
            "bound": self.args.bound,
            "reached": self.reached,
            "passed": self.passed,
            "results": {name: None if isnan(value) else value for name, value in self.results.items()},
            "formats": formats,
            "machine": dict(self.machine),
            "seconds": {step: round(value, 3) for step, value in self.seconds.items()},
        }
