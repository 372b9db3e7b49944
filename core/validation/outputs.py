"""What a validation leaves behind, if anything: results for other tools, label files, curves and pictures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from segkit.core.data.dataset import Dataset
from segkit.core.inference.output import PROJECT, Stems, made_run_folder
from segkit.core.metrics import SegmentationMetrics, Truth
from segkit.core.validation.arguments import ValArguments
from segkit.core.validation.found import Seen
from segkit.core.validation.results_file import ResultsFile
from segkit.core.validation.sheets import Sheets


class Outputs:
    """Writes what the arguments ask for. Every file is there whole or not at all."""

    def __init__(self, args: ValArguments, dataset: Dataset) -> None:
        """Make the folder, if anything is to be written.

        Raises:
            OutputError: it cannot be made.
        """
        self._args, self._dataset = args, dataset
        self._open = ExitStack()
        self._results: ResultsFile | None = None
        self._sheets: Sheets | None = None
        self._stems = Stems()
        self.folder: Path | None = None
        if args.saves:
            self._begin()

    def _begin(self) -> None:
        args, dataset = self._args, self._dataset
        with ExitStack() as opening:
            place = made_run_folder(args.project or PROJECT, args.name or "val", exist_ok=args.exist_ok)
            self.folder = opening.enter_context(place)
            if args.save_json:
                file = ResultsFile(self.folder / "predictions.json", dataset.category_ids or {})
                self._results = opening.enter_context(file)
            self._open = opening.pop_all()
        if args.plots:
            self._sheets = Sheets(self.folder, dataset.names, args.batch)

    def take(self, seen: Seen, truth: Truth) -> None:
        """One more picture.

        Raises:
            OutputError: something cannot be written.
        """
        if self.folder is None:
            return
        sample = self._dataset[seen.place]
        if self._results is not None:
            self._results.add(sample.image_id, seen.found)
        if self._args.save_txt:
            stem = self._stems.of_picture(str(sample.path))
            seen.result().save_txt(self.folder / "labels" / f"{stem}.txt", save_conf=self._args.save_conf)
        if self._sheets is not None:
            self._sheets.add(seen.picture, seen.found, truth)

    def finish(self, metrics: SegmentationMetrics) -> None:
        """All pictures were seen: write curves and the confusion matrix.

        Raises:
            OutputError: something cannot be written.
        """
        if self._sheets is not None and self.folder is not None:
            from segkit.core.metrics import save_plots

            self._sheets.close()
            save_plots(metrics, self.folder)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the results file, or take it away; after an error no empty folder stays.

        Raises:
            OutputError: the results file cannot be written to its end.
        """
        self._open.__exit__(kind, error, trace)
