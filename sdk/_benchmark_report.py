"""What a benchmark found: a row a file, and the table as data frame, CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from segkit.core.files import atomic_write
from segkit.core.frames import frame_library

FILES = "files"
"""Folder of the exported files in that of the results."""


def home_of(folder: Path, name: str) -> Path:
    """The folder of a row's file: two precisions may give it one name."""
    return folder / name.replace(" ", "-")


class State(StrEnum):
    """How it went with a file."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    """The format says that it cannot do this, or cannot do it here: nothing went wrong."""


@dataclass(frozen=True)
class BenchmarkRow:
    """One file; what was not measured is None.

    Attributes:
        name: what it is called in the table: an export by format and precision, a file that was given by its name.
        format, precision: e.g. "onnx", "fp16".
        file: name of the file or folder; None if there is none.
        state: "ok", "failed" or "unavailable".
        reason: why it has no figures; empty where all is well.
        within: whether its mask AP is as near to the reference's as `bound` asks for.
        imgsz: (height, width) of the network's input.
        export_s: seconds of the export; None for a file that was given.
        size: in bytes, of all files of a folder.
        load_ms: until the file is ready, once its runtime is imported.
        first_ms: the first run after that.
        run_ms: the network alone, a picture.
        total_ms: a picture from its file to masks.
        box_map, mask_map: AP50-95 of boxes and masks.
        box_difference, mask_difference: from those of the reference.
    """

    name: str
    format: str
    precision: str
    file: str | None = None
    state: State = State.OK
    reason: str = ""
    within: bool | None = None
    imgsz: tuple[int, int] | None = None
    export_s: float | None = None
    size: int | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    run_ms: float | None = None
    total_ms: float | None = None
    box_map: float | None = None
    mask_map: float | None = None
    box_difference: float | None = None
    mask_difference: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Every field by name, as JSON takes it."""
        return {name: _plain(value) for name, value in asdict(self).items()}


class Column(NamedTuple):
    """A column of the table that people read."""

    title: str
    text: Callable[[BenchmarkRow], str]


def _figure(name: str, pattern: str, scale: float = 1.0) -> Callable[[BenchmarkRow], str]:
    def text(row: BenchmarkRow) -> str:
        value = getattr(row, name)
        return "" if value is None else "-" if isnan(value) else pattern.format(value / scale)

    return text


COLUMNS = (
    Column("model", lambda row: row.name),
    Column("MB", _figure("size", "{:.1f}", 1e6)),
    Column("export s", _figure("export_s", "{:.1f}")),
    Column("load ms", _figure("load_ms", "{:.0f}")),
    Column("first ms", _figure("first_ms", "{:.1f}")),
    Column("run ms", _figure("run_ms", "{:.1f}")),
    Column("total ms", _figure("total_ms", "{:.1f}")),
    Column("box AP", _figure("box_map", "{:.4f}")),
    Column("mask AP", _figure("mask_map", "{:.4f}")),
    Column("Δ box", _figure("box_difference", "{:+.4f}")),
    Column("Δ mask", _figure("mask_difference", "{:+.4f}")),
)


@dataclass(frozen=True)
class BenchmarkReport:
    """A benchmark: what was measured, where and with what.

    Attributes:
        model: the reference: the first that was given.
        data: the data set.
        pictures: how many of it were scored.
        rows: one a file, the reference first.
        settings: rounds, device and threads.
        machine: processor, and versions of what took part.
        save_dir: the folder that was written; None if none was.
    """

    model: str
    data: str
    pictures: int
    rows: tuple[BenchmarkRow, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    save_dir: Path | None = None

    @property
    def within(self) -> bool:
        """Whether nothing failed, and every mask AP is as near to the reference's as was asked for."""
        return all(row.state is not State.FAILED and row.within is not False for row in self.rows)

    @property
    def measured(self) -> bool:
        """Whether there is a file with all figures."""
        return any(row.state is State.OK for row in self.rows)

    def kept(self, row: BenchmarkRow) -> Path | None:
        """The exported file of a row, where a benchmark was asked to keep them."""
        if self.save_dir is None or row.file is None:
            return None
        path = home_of(self.save_dir / FILES, row.name) / row.file
        return path if path.exists() else None

    def to_df(self, library: str | None = None) -> Any:
        """A data frame, a row a file: of pandas if that is installed, else of polars, or of the one you name.

        Raises:
            OptionError: another library.
            MissingDependencyError: neither is installed, or not the one named.
        """
        _, module = frame_library(library, "BenchmarkReport.to_df()")
        return module.DataFrame([row.to_plain() for row in self.rows])

    def to_csv(self) -> str:
        """CSV with a header; what was not measured is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [each.name for each in fields(BenchmarkRow)], lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            plain = row.to_plain()
            size = plain["imgsz"]
            writer.writerow(plain | {"imgsz": f"{size[0]}x{size[1]}" if size else None})
        return text.getvalue()

    def to_plain(self) -> dict[str, Any]:
        """What `to_json` writes, as a dictionary."""
        about = {"model": self.model, "data": self.data, "pictures": self.pictures}
        told = about | {"settings": dict(self.settings), "machine": dict(self.machine), "within": self.within}
        return told | {"rows": [row.to_plain() for row in self.rows]}

    def to_json(self) -> str:
        """One JSON document; what was not measured is null."""
        return json.dumps(self.to_plain(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """A table for an issue or a README; what has no figures is told below it."""
        lines = [[column.title for column in COLUMNS], ["---"] + ["---:"] * (len(COLUMNS) - 1)]
        lines += [[column.text(row) for column in COLUMNS] for row in self.rows if row.state is State.OK]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        rest = "\n".join(f"- {row.name} ({row.state}): {row.reason}" for row in self.rows if row.state is not State.OK)
        about = f"{self.model} on {self.data}, {self.pictures} pictures; " + ", ".join(
            f"{name} {value}" for name, value in {**self.settings, **self.machine}.items()
        )
        return "\n\n".join(part for part in (about, table, rest) if part) + "\n"

    def write(self, folder: Path) -> None:
        """Write benchmark.csv, .json, .md and, where a file was measured, .png into `folder`.

        Raises:
            OutputError: one cannot be written.
        """
        texts = {"csv": self.to_csv(), "json": self.to_json() + "\n", "md": self.to_markdown()}
        for suffix, text in texts.items():
            with atomic_write(folder / f"benchmark.{suffix}") as path:
                path.write_text(text, encoding="utf-8")
        from segkit.core.validation.scatter import Dot, write_scatter

        dots = [
            Dot(row.name, row.precision, row.run_ms, row.mask_map)
            for row in self.rows
            if row.run_ms is not None and row.mask_map is not None
        ]
        if dots:
            write_scatter(dots, folder / "benchmark.png", f"{self.model} on {self.data}, {self.pictures} pictures")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if isnan(value) else round(value, 6)
    return str(value) if isinstance(value, StrEnum) else list(value) if isinstance(value, tuple) else value
