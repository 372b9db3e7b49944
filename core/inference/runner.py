"""Calls a predictor as its format allows: from any thread, one at a time, or from the thread that loaded it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from segkit.core.backend.base import Anchors, Predictor, Selected
from segkit.core.backend.format import Concurrency
from segkit.core.images import ImageBatch


class Runner:
    """For predictors that any thread may call at any time."""

    def __init__(self, load: Callable[[], Predictor]) -> None:
        """Load the predictor."""
        self._predictor = load()

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`."""
        return self._predictor.run(batch)

    def warm_up(self) -> None:
        """As `Predictor.warm_up`."""
        self._predictor.warm_up()

    def close(self) -> None:
        """As `Predictor.close`."""
        self._predictor.close()


class SerialRunner(Runner):
    """For predictors that any thread may call, one at a time."""

    def __init__(self, load: Callable[[], Predictor]) -> None:
        """Load the predictor."""
        self._lock = threading.Lock()
        super().__init__(load)

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`, after the runs of other threads."""
        with self._lock:
            return super().run(batch)

    def close(self) -> None:
        """As `Predictor.close`, after the runs of other threads."""
        with self._lock:
            super().close()


class BoundRunner(Runner):
    """For predictors that only the thread that loaded them may call: gives them a thread of their own."""

    def __init__(self, load: Callable[[], Predictor]) -> None:
        """Load the predictor on its thread."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segkit-predictor")
        try:
            self._thread.submit(super().__init__, load).result()
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
        self._thread.submit(super().close).result()
        self._thread.shutdown()


RUNNERS: dict[Concurrency, type[Runner]] = {
    Concurrency.PARALLEL: Runner,
    Concurrency.SERIAL: SerialRunner,
    Concurrency.THREAD_BOUND: BoundRunner,
}
