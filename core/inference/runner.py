"""Calls a predictor as its format allows: from any thread, one at a time, or from the thread that loaded it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from segkit.core.backend.base import Anchors, Backend, Predictor, Selected
from segkit.core.backend.faults import words
from segkit.core.backend.format import Concurrency
from segkit.core.backend.openmp import considerate_threads
from segkit.core.backend.options import LoadOptions
from segkit.core.backend.returned import fault
from segkit.core.errors import RuntimeFailure, SegkitError
from segkit.core.images import ImageBatch

T = TypeVar("T")


class Runner:
    """For predictors that any thread may call at any time. Its own methods may be called so whatever the predictor.

    Whatever a predictor raises unforeseen, and outputs that are not those of the contract, is a RuntimeFailure.
    """

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor."""
        self._name = backend.format.name
        self._inside = 0
        self._closed = False
        self._changed = threading.Condition()
        self._predictor = self._call(self._load, backend, path, options)

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """As `Predictor.run`.

        Raises:
            RuntimeFailure: the runtime failed, broke the contract, or is closed.
        """
        with self._open():
            return self._call(self._run, batch)

    def warm_up(self) -> None:
        """As `Predictor.warm_up`.

        Raises:
            RuntimeFailure: the runtime failed, or is closed.
        """
        with self._open():
            self._call(self._predictor.warm_up)

    def close(self) -> None:
        """As `Predictor.close`, once and after the runs that are under way; later ones are refused."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)
        self._call(self._predictor.close)

    def _call(self, work: Callable[..., T], *args: object) -> T:
        """Do `work` on the predictor in a way that its format allows."""
        return self._guarded(work, *args)

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        try:
            return work(*args)
        except (SegkitError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a runtime that calls sys.exit() has failed, too
            raise RuntimeFailure(self._name, words(error)) from error

    def _load(self, backend: Backend, path: Path, options: LoadOptions) -> Predictor:
        with considerate_threads():
            predictor: object = backend.load(path, options)
        if not isinstance(predictor, Predictor):
            raise RuntimeFailure(self._name, f"its load() returned {type(predictor).__name__}, not a Predictor")
        return predictor

    def _run(self, batch: ImageBatch) -> Anchors | Selected:
        raw = self._predictor.run(batch)
        problem = fault(raw, batch)
        if problem:
            raise RuntimeFailure(self._name, f"its predictor does not keep to the contract: {problem}")
        return raw

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Keeps `close` waiting."""
        with self._changed:
            if self._closed:
                raise RuntimeFailure(self._name, "it was closed before this call; open the model again")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


class SerialRunner(Runner):
    """For predictors that any thread may call, one at a time."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor."""
        self._turn = threading.Lock()
        super().__init__(backend, path, options)

    def _call(self, work: Callable[..., T], *args: object) -> T:
        with self._turn:
            return self._guarded(work, *args)


class BoundRunner(Runner):
    """For predictors that only the thread that loaded them may call: gives them a thread of their own."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load the predictor on its thread."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segkit-predictor")
        try:
            super().__init__(backend, path, options)
        except BaseException:
            self._thread.shutdown()
            raise

    def close(self) -> None:
        """As `Predictor.close`, on the predictor's thread, which ends."""
        try:
            super().close()
        finally:
            self._thread.shutdown()

    def _call(self, work: Callable[..., T], *args: object) -> T:
        return self._thread.submit(self._guarded, work, *args).result()


RUNNERS: dict[Concurrency, type[Runner]] = {
    Concurrency.PARALLEL: Runner,
    Concurrency.SERIAL: SerialRunner,
    Concurrency.THREAD_BOUND: BoundRunner,
}
