"""Calls a predictor as its format allows: from any thread, one at a time, or from the thread that loaded it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from segkit.core.backend.base import Anchors, Backend, Predictor, Selected
from segkit.core.backend.faults import words
from segkit.core.backend.format import Concurrency
from segkit.core.backend.options import LoadOptions
from segkit.core.backend.returned import fault
from segkit.core.errors import RuntimeFailure, SegkitError
from segkit.core.images import ImageBatch


class Runner:
    """For predictors that any thread may call at any time.

    Whatever a predictor raises unforeseen, and outputs that are not those of the contract, is a RuntimeFailure.
    """

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor."""
        self._name = backend.format.name
        with self._guarded():
            self._predictor = backend.load(path, options)
        if not isinstance(self._predictor, Predictor):
            raise RuntimeFailure(self._name, f"its load() returned {type(self._predictor).__name__}, not a Predictor")

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`."""
        with self._guarded():
            raw = self._predictor.run(batch)
            problem = fault(raw, batch)
        if problem:
            raise RuntimeFailure(self._name, f"its predictor does not keep to the contract: {problem}")
        return raw

    def warm_up(self) -> None:
        """As `Predictor.warm_up`."""
        with self._guarded():
            self._predictor.warm_up()

    def close(self) -> None:
        """As `Predictor.close`."""
        with self._guarded():
            self._predictor.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SegkitError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a runtime that calls sys.exit() has failed, too
            raise RuntimeFailure(self._name, words(error)) from error


class SerialRunner(Runner):
    """For predictors that any thread may call, one at a time."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor."""
        self._lock = threading.Lock()
        super().__init__(backend, path, options)

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`, after the runs of other threads."""
        with self._lock:
            return super().run(batch)

    def warm_up(self) -> None:
        """As `Predictor.warm_up`, after the runs of other threads."""
        with self._lock:
            super().warm_up()

    def close(self) -> None:
        """As `Predictor.close`, after the runs of other threads."""
        with self._lock:
            super().close()


class BoundRunner(Runner):
    """For predictors that only the thread that loaded them may call: gives them a thread of their own."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor on its thread."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segkit-predictor")
        try:
            self._thread.submit(super().__init__, backend, path, options).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`, on the predictor's thread."""
        return self._thread.submit(super().run, batch).result()

    def warm_up(self) -> None:
        """As `Predictor.warm_up`, on the predictor's thread."""
        self._thread.submit(super().warm_up).result()

    def close(self) -> None:
        """As `Predictor.close`, on the predictor's thread, which ends."""
        try:
            self._thread.submit(super().close).result()
        finally:
            self._thread.shutdown()


RUNNERS: dict[Concurrency, type[Runner]] = {
    Concurrency.PARALLEL: Runner,
    Concurrency.SERIAL: SerialRunner,
    Concurrency.THREAD_BOUND: BoundRunner,
}
