"""The folder of a prediction run: annotated pictures, label files and cut-outs."""

from __future__ import annotations

from pathlib import Path

from segkit.core.errors import OutputError
from segkit.core.files import absent_folders, output_error, remove_empty
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.results import Results

WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
"""Endings that an annotated picture keeps; any other kind is saved as .jpg."""


def new_folder(args: PredictArguments, task: str = "segment", mode: str = "predict") -> Path:
    """Make the folder of a run: project/name, with a number appended when it exists (unless `exist_ok`).

    Raises:
        OutputError: it cannot be made.
    """
    project = _project(args, task)
    name = args.name or mode
    number = 1
    while True:
        folder = project / (name if number == 1 else f"{name}{number}")
        try:
            folder.mkdir(parents=True, exist_ok=args.exist_ok)
            return folder
        except FileExistsError:
            if args.exist_ok:
                raise OutputError(folder, "a file of that name is in the way") from None
            number += 1
        except OSError as error:
            raise output_error(folder, error) from error


def _project(args: PredictArguments, task: str = "segment") -> Path:
    return Path(args.project) if args.project else Path("runs") / task


class RunFolder:
    """Writes what the arguments ask for, one result at a time."""

    def __init__(self, args: PredictArguments) -> None:
        """Make the folder."""
        self.args = args
        absent = absent_folders(_project(args))
        self.path = new_folder(args)
        self._made = absent if args.exist_ok else [self.path, *absent]
        self._taken: set[str] = set()

    def write(self, result: Results) -> None:
        """Write one result.

        Raises:
            OutputError: the disk is full, or the folder cannot be written any more; no empty folder is left behind.
        """
        try:
            self._write(result)
        except OutputError:
            remove_empty(self._made)
            raise

    def _write(self, result: Results) -> None:
        args = self.args
        result.save_dir = str(self.path)
        source = Path(result.path)
        stem = self._free_stem(source.stem or "image")
        if args.save:
            suffix = source.suffix.lower() if source.suffix.lower() in WRITABLE else ".jpg"
            result.save(
                self.path / f"{stem}{suffix}",
                conf=args.show_conf,
                labels=args.show_labels,
                boxes=args.show_boxes,
                line_width=args.line_width,
            )
        if args.save_txt:
            result.save_txt(self.path / "labels" / f"{stem}.txt", save_conf=args.save_conf)
        if args.save_crop:
            result.save_crop(self.path / "crops", f"{stem}.jpg")

    def _free_stem(self, stem: str) -> str:
        """Pictures of one name from different folders must not overwrite each other."""
        free, number = stem, 2
        while free in self._taken:
            free, number = f"{stem}-{number}", number + 1
        self._taken.add(free)
        return free
