"""Results as tables: data frames of pandas or polars, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.core.frames import frame_library

Rows = Sequence[Mapping[str, Any]]
"""What `Results.summary` gives: name, class, confidence, box; track_id and segments where there are any."""

COLUMNS = ("name", "class", "confidence", "box")
CORNERS = ("x1", "y1", "x2", "y2")


def data_frame(rows: Rows, library: str | None, *, columns: Sequence[str]) -> Any:
    """A row an object; box and segments hold dictionaries (pandas) or structs (polars), as `rows` do.

    An empty one has the same columns and types.

    Raises:
        OptionError: another library.
        MissingDependencyError: it is not installed, or none is.
    """
    name, module = frame_library(library, "Results.to_df()")
    return _MAKERS[name](module, rows, columns)


def _pandas(pandas: Any, rows: Rows, columns: Sequence[str]) -> Any:
    types = {"class": "int64", "confidence": "float64", "track_id": "int64"}
    frame = pandas.DataFrame(list(rows), columns=list(columns))
    return frame.astype({name: kind for name, kind in types.items() if name in columns})


def _polars(polars: Any, rows: Rows, columns: Sequence[str]) -> Any:
    corners = polars.Struct(dict.fromkeys(CORNERS, polars.Float64))
    outline = polars.Struct(dict.fromkeys("xy", polars.List(polars.Float64)))
    types = {"name": polars.String, "class": polars.Int64, "confidence": polars.Float64, "box": corners}
    types |= {"track_id": polars.Int64, "segments": outline}
    return polars.DataFrame(list(rows), schema={name: types[name] for name in columns})


_MAKERS = {"pandas": _pandas, "polars": _polars}


def csv_text(rows: Rows, *, columns: Sequence[str]) -> str:
    """CSV with a header: a column for each side of the box, and an outline as "x y x y …"."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([part for name in columns for part in (CORNERS if name == "box" else (name,))])
    for row in rows:
        writer.writerow([cell for name in columns for cell in _cells(name, row[name])])
    return file.getvalue()


def _cells(name: str, value: Any) -> list[Any]:
    if name == "box":
        return [value[corner] for corner in CORNERS]
    if name == "segments":
        return [" ".join(f"{x} {y}" for x, y in zip(value["x"], value["y"], strict=True))]
    return [value]
