"""A whole comparison, as `segkit compare` runs it: files and pictures in, figures and pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segkit.conformance.comparison import Compared, Comparison, compare_pictures, open_models
from segkit.conformance.panels import PanelFolder
from segkit.core.backend.options import validate
from segkit.core.errors import OptionError, SourceError
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments


class ComparisonRun:
    """Models over a source of pictures: iterate to run it, then read the figures.

        with ComparisonRun(["a.pt", "a.onnx"], "pictures/") as run:
            for _ in run:
                pass
        print(run.comparisons[0].totals())

    Attributes:
        comparisons: one for every model but the first, which is the reference.
        total: number of pictures, None where only the end will tell.
        unreadable: those that could not be read.
    """

    def __init__(
        self,
        models: Sequence[str | Path],
        source: object,
        *,
        limits: Mapping[str, float | str] | None = None,
        save: bool = True,
        on_error: Callable[[SourceError], None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the models and open the source.

        Args:
            models: paths of weights or artefacts, the reference first.
            source: as for `YOLO.predict`.
            limits: by name, those that replace the ones of `segkit.conformance.comparison.LIMITS`.
            save: write a picture with all models side by side for every picture.
            on_error: called for each picture that cannot be read.
            options: arguments of prediction, e.g. {"conf": 0.1, "device": "cuda"}.

        Raises:
            OptionError: a value that cannot be used, or fewer than two models.
            ModelFileError, MissingDependencyError, SourceError: something cannot be opened.
        """
        own = {name: _share(name, value) for name, value in (limits or {}).items()}
        args = validate(PredictArguments, options or {}, "compare")
        if args.tile or args.augment:
            raise OptionError("compare looks at every picture as a whole, once: leave tile and augment out.")
        loading = {name: value for name in ("device", "threads") if (value := getattr(args, name)) is not None}
        self.unreadable: list[SourceError] = []
        self._on_error = on_error
        items = open_sources(source)
        self.total = items.known_length
        with ExitStack() as stack:
            opened = open_models([Path(model) for model in models], loading, args, stack)
            self.comparisons = [Comparison(opened[0], other, own) for other in opened[1:]]
            self._folder = PanelFolder(args, self.comparisons) if save else None
            pictures = stack.enter_context(closing(iter(items)))
            self._pictures = compare_pictures(self.comparisons, pictures, self._note)
            self._stack = stack.pop_all()

    def __iter__(self) -> Iterator[Compared]:
        """Compare one picture after the other.

        Raises:
            SourceError: none could be read.
            RuntimeFailure: a model failed.
            OutputError: a picture cannot be written.
        """
        count = 0
        for compared in self._pictures:
            count += 1
            if self._folder:
                self._folder.write(compared)
            yield compared
        if not count:
            problem = self.unreadable[0].problem if self.unreadable else "there is no picture in it"
            raise SourceError(self.unreadable[0].source if self.unreadable else "source", problem)

    @property
    def save_dir(self) -> str | None:
        """The folder that was written, if any."""
        return str(self._folder.path) if self._folder and self._folder.path else None

    @property
    def within(self) -> bool:
        """Whether every model keeps the limits, and every picture could be read."""
        return not self.unreadable and all(comparison.within for comparison in self.comparisons)

    def __enter__(self) -> Self:
        """The run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the models and the source."""
        self._stack.close()

    def _note(self, error: SourceError) -> None:
        self.unreadable.append(error)
        if self._on_error:
            self._on_error(error)


def _share(name: str, value: float | str) -> float:
    """A limit as a number from 0 to 1."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise OptionError.invalid(name, value, "give a number from 0 to 1")
    return number
