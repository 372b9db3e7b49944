"""COCO's results file: what its evaluation takes, written as the pictures come.

The format is that of https://cocodataset.org/#format-results.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from segkit.core.errors import OutputError
from segkit.core.files import atomic_write, output_error
from segkit.core.metrics import Found
from segkit.core.rle import Rle


class ResultsFile:
    """Detections of all pictures, one a line, in a JSON list that is there once it is whole."""

    def __init__(self, path: Path, categories: Mapping[int, int]) -> None:
        """Begin to write; `categories` are numbers by class index, which stands for itself where it has none.

        Raises:
            OutputError: the place cannot be written.
        """
        self.path, self._categories, self._count = path, categories, 0
        with contextlib.ExitStack() as opening:
            partial = opening.enter_context(atomic_write(path))
            self._file = opening.enter_context(partial.open("w", encoding="utf-8", newline="\n"))
            self._file.write("[")
            self._open = opening.pop_all()

    def add(self, image_id: int | str, found: Found) -> None:
        """Write the detections of a picture: boxes to a thousandth of a pixel, scores to 5 digits.

        Raises:
            OutputError: the disk is full.
        """
        masks: Sequence[Rle | None] = found.masks if found.masks is not None else [None] * len(found)
        fields = zip(found.boxes.tolist(), found.confidence.tolist(), found.classes.tolist(), masks, strict=True)
        try:
            for (x1, y1, x2, y2), score, index, mask in fields:
                row: dict[str, Any] = {
                    "image_id": image_id,
                    "category_id": self._categories.get(index, index),
                    "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                    "score": round(score, 5),
                }
                row |= {} if mask is None else {"segmentation": mask}
                self._file.write((",\n" if self._count else "\n") + json.dumps(row))
                self._count += 1
        except OSError as error:
            raise output_error(self.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or take it away if the run failed.

        Raises:
            OutputError: the disk is full.
        """
        if kind is not None:
            with contextlib.suppress(OSError, OutputError):
                self._open.__exit__(kind, error, trace)
            return
        try:
            self._file.write("\n]\n")
            self._open.close()
        except OSError as late:
            with contextlib.suppress(OSError, OutputError):
                self._open.__exit__(type(late), late, late.__traceback__)
            raise output_error(self.path, late) from late

    def __enter__(self) -> ResultsFile:
        """Itself."""
        return self
