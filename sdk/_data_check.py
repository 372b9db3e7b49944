"""Checking a data set: what is found, and the pictures of it in a folder of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit._data_arguments import CheckArguments
from segkit.core.backend.options import validate
from segkit.core.data.checking.check import Check, check
from segkit.core.data.checking.contact_sheet import sheet
from segkit.core.data.checking.histogram_picture import histogram_picture
from segkit.core.inference.output import made_run_folder
from segkit.core.inference.saving import write_picture

SHEET, HISTOGRAMS = "sheet.png", "histograms.png"


@dataclass(frozen=True)
class CheckReport:
    """What was found, and where its pictures are: none unless they were asked for."""

    check: Check
    save_dir: Path | None
    sheet: Path | None
    histograms: Path | None

    def to_plain(self) -> dict[str, Any]:
        """Everything as values that JSON has."""
        places = {"save_dir": self.save_dir, "sheet": self.sheet, "histograms": self.histograms}
        return self.check.to_plain() | {name: str(path) if path else None for name, path in places.items()}


def check_data(data: str | Path, **options: Any) -> CheckReport:
    """Find every fault in a data set's pictures and labels.

    Args:
        data: a data.yaml, a COCO file of instances, a folder with one of them, or the name of a known data set.
        options: those of `CheckArguments`.

    Raises:
        SourceError: there is no such data set, or it has no pictures.
        OptionError: an option is unknown or not usable.
        OutputError: a picture cannot be written.
    """
    args = validate(CheckArguments, options, "data check")
    found = check(data)
    if not args.save:
        return CheckReport(found, None, None, None)
    with made_run_folder(args.project or Path("runs", "data"), args.name or "check", exist_ok=args.exist_ok) as folder:
        shown = folder / SHEET if found.cells else None
        if shown:
            write_picture(shown, sheet(found.cells, found.names))
        write_picture(folder / HISTOGRAMS, histogram_picture(found.splits))
    return CheckReport(found, folder, shown, folder / HISTOGRAMS)
