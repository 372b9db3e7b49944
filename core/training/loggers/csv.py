"""results.csv: a row an epoch, for spreadsheets and for tools that know such files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from segkit.core.errors import OutputError
from segkit.core.files import atomic_write
from segkit.core.notices import notice
from segkit.core.training.events import hookimpl

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun

NAME = "results.csv"


class CsvLogger:
    """Writes the file anew after every epoch, whole or not at all, from all that the run remembers.

    So it has no half lines whatever happens, no epoch twice when a run is resumed, and what could not be written once
    (the disk was full, a spreadsheet had locked the file) is there the next time.
    """

    title = "The logger of results.csv"

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._told = False

    @hookimpl
    def segkit_train_start(self, run: TrainRun) -> None:
        """A run that goes on has epochs already."""
        if run.history:
            self._write(run)

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """One more."""
        self._write(run)

    def _write(self, run: TrainRun) -> None:
        path = run.save_dir / NAME
        text = text_of([record.row() for record in run.history])
        try:
            with atomic_write(path) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
        except OutputError as error:
            if not self._told:
                notice(f"{error} It is tried again after every epoch.")
            self._told = True


def text_of(rows: Iterable[Mapping[str, float]]) -> str:
    """Rows as CSV, the titles first; a figure that an epoch does not have is empty."""
    rows = list(rows)
    columns = columns_of(rows)
    lines = [",".join(columns), *(",".join(_cell(name, row.get(name)) for name in columns) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def columns_of(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The names in all rows, each behind those that it is behind in its row: not every epoch is validated."""
    columns: dict[str, None] = {}
    for row in rows:
        if row.keys() <= columns.keys():
            continue
        known, place = list(columns), 0
        for name in row:
            if name in columns:
                place = known.index(name) + 1
            else:
                known.insert(place, name)
                place += 1
        columns = dict.fromkeys(known)
    return list(columns)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if name == "time" else f"{value:.6g}"
