"""The figures of each class as rows: dictionaries, data frames, CSV, JSON; and a small table of the means as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segkit.core.frames import frame_library

if TYPE_CHECKING:
    from segkit.core.metrics.results import SegmentationMetrics

Rows = Sequence[Mapping[str, Any]]

_KINDS = ("Box", "Mask")


def class_rows(metrics: SegmentationMetrics, decimals: int) -> list[dict[str, Any]]:
    """A row for each class that has objects, in ascending order."""
    rows = []
    for index, label in enumerate(metrics.ap_class_index.tolist()):
        row: dict[str, Any] = {
            "Class": metrics.names[label],
            "Images": int(metrics.seen_in[label]),
            "Instances": int(metrics.objects[label]),
        }
        for kind, average in zip(_KINDS, metrics.averages, strict=False):
            precision, recall, ap50, ap = average.class_result(index)
            figures = {"P": precision, "R": recall, "F1": float(average.f1[index]), "mAP50": ap50, "mAP50-95": ap}
            row |= {f"{kind}-{name}": round(value, decimals) for name, value in figures.items()}
        rows.append(row)
    return rows


def data_frame(rows: Rows, library: str | None) -> Any:
    """A row a class.

    Raises:
        OptionError: another library.
        MissingDependencyError: it is not installed, or none is.
    """
    _, module = frame_library(library, "SegmentationMetrics.to_df()")
    return module.DataFrame(list(rows))


def csv_text(rows: Rows) -> str:
    """CSV with a header; nothing where there are no rows."""
    file = io.StringIO()
    if rows:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return file.getvalue()


def json_text(rows: Rows) -> str:
    """A JSON list of objects."""
    return json.dumps(list(rows), ensure_ascii=False, indent=2)


def text(metrics: SegmentationMetrics) -> str:
    """The means of boxes and masks, a line each."""
    objects, classes = int(metrics.objects.sum()), len(metrics.ap_class_index)
    lines = [f"{metrics.pictures} pictures, {objects} objects of {classes} classes"]
    lines.append(f"{'':6s}{'P':>9s}{'R':>9s}{'mAP50':>9s}{'mAP50-95':>10s}{'AP75':>9s}")
    for kind, average in zip(_KINDS, metrics.averages, strict=False):
        figures = f"{average.mp:9.4f}{average.mr:9.4f}{average.map50:9.4f}{average.map:10.4f}{average.map75:9.4f}"
        lines.append(f"{kind:6s}{figures}")
    if metrics.speed:
        lines.append(", ".join(f"{name} {value:.1f} ms" for name, value in metrics.speed.items()) + " a picture")
    return "\n".join(lines)
