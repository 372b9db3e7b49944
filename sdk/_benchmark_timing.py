"""Milliseconds: every file is loaded and warmed up, then all are measured in turns, so that noise hits all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any

from segkit._benchmark_subjects import Subject
from segkit.core.backend.base import Backend
from segkit.core.backend.options import LoadOptions, validate
from segkit.core.images import ImageBatch, Size
from segkit.core.images.reading import read_picture
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import Session

PICTURES = 8
"""How many pictures a block of measurements goes through."""


class Timed:
    """A loaded file and the times of its blocks, in milliseconds a picture."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions, size: Size | None) -> None:
        """Load it twice: the first time also imports the runtime, and only the second is measured."""
        Session(backend, path, options).close()
        start = time.perf_counter()
        self.session = Session(backend, path, options)
        self.load_ms = 1e3 * (time.perf_counter() - start)
        metadata = self.session.metadata
        asked: dict[str, Any] = {"rect": False} | ({"imgsz": size} if size and metadata.dynamic_size else {})
        self.args = self.session.resolve(validate(PredictArguments, asked, "benchmark"))
        self.batch = 1 if metadata.dynamic_batch else metadata.batch
        self._runs: list[float] = []
        self._totals: list[float] = []

    @property
    def size(self) -> Size:
        """(height, width) of the network's input."""
        return self.args.imgsz or self.session.metadata.imgsz

    def prepare(self, pictures: Sequence[Path]) -> float:
        """Letterbox the pictures, once for all blocks, and run the network for the first time: how long that takes."""
        whole = max(len(pictures) // self.batch, 1) * self.batch
        chosen = [pictures[place % len(pictures)] for place in range(whole)]
        self._groups = [[str(path) for path in chosen[at : at + self.batch]] for at in range(0, whole, self.batch)]
        read = [[read_picture(path) for path in group] for group in self._groups]
        self._batches = [ImageBatch(group, self.size) for group in read]
        _, seconds = self.session.compute(self._batches[0])
        for batch in self._batches:
            self.session.compute(batch)  # makes the pixels in the form that this runtime takes
        return 1e3 * seconds

    def block(self) -> None:
        """One block of measurements: the network over all pictures, then the way from file to masks over all."""
        self.session.compute(self._batches[0])  # threads of the one before may still spin
        count = len(self._batches) * self.batch
        self._runs.append(1e3 * sum(self.session.compute(batch)[1] for batch in self._batches) / count)
        start = time.perf_counter()
        for group in self._groups:
            for result in self.session.predict(open_sources(group), self.args, _raised):
                result.masks  # noqa: B018 - made when asked for
        self._totals.append(1e3 * (time.perf_counter() - start) / count)

    def figures(self) -> dict[str, float]:
        """The medians of the blocks."""
        return {"run_ms": median(self._runs), "total_ms": median(self._totals)}


def time_all(
    subjects: Sequence[Subject], pictures: Sequence[Path], size: Size | None, loading: dict[str, Any], rounds: int
) -> None:
    """Measure every subject that has a file; one that fails says so and is left out of what follows.

    Args:
        subjects: their figures gain imgsz, load_ms, first_ms, run_ms and total_ms.
        pictures: of a data set, enough of them to spread out; `PICTURES` at most are used.
        size: (height, width) of the input, for files that are not fixed to one.
        loading: device and threads.
        rounds: blocks of each.
    """
    wanted = min(len(pictures), PICTURES)
    chosen = [pictures[place * len(pictures) // wanted] for place in range(wanted)]
    with ExitStack() as stack:
        turns: list[tuple[Subject, Timed]] = []
        for subject in subjects:
            with subject.step("loading"):
                timed = _loaded(subject, size, loading)
                stack.enter_context(closing(timed.session))
                first = timed.prepare(chosen)
                subject.figures |= {"imgsz": timed.size, "load_ms": timed.load_ms, "first_ms": first}
                turns.append((subject, timed))
        for number in range(rounds):
            for subject, timed in turns if number % 2 else reversed(turns):
                if not subject.reason:
                    with subject.step("running"):
                        timed.block()
        for subject, timed in turns:
            if not subject.reason:
                subject.figures |= timed.figures()


def _loaded(subject: Subject, size: Size | None, loading: dict[str, Any]) -> Timed:
    assert subject.model is not None
    backend, path = subject.model._artefact()
    return Timed(backend, path, backend.format.parse_load_options(loading | subject.loading), size)


def _raised(error: Exception) -> None:
    raise error
