"""How fast a training is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun


class Pace:
    """Told when epochs begin and batches are done. All lengths of time are in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` is a clock that never goes back."""
        self._now = now
        self._began = self._epoch_began = self._first = now()
        self._earlier = 0.0
        self.batches = 0
        """Of this epoch, so far."""
        self._epochs = self._images = 0

    def begin_epoch(self, run: TrainRun) -> None:
        """An epoch begins."""
        if self._epochs == 0:
            self._began = self._now()
            self._earlier = run.record.seconds if run.record is not None else 0.0
        self._epochs += 1
        self._epoch_began = self._first = self._now()
        self.batches = self._images = 0

    def count(self, images: int) -> None:
        """A batch of so many pictures is done."""
        self.batches += 1
        if self.batches == 1:
            self._first = self._now()
        else:
            self._images += images

    @property
    def images_per_second(self) -> float:
        """In this epoch; 0 as long as it is not known."""
        spent = self._now() - self._first
        return self._images / spent if self._images and spent > 0 else 0.0

    def epoch_left(self, run: TrainRun) -> float | None:
        """Until the last batch of the epoch; None if that is not known yet."""
        each = self._batch_seconds()
        return None if each is None else each * (run.batches - run.batch_number - 1)

    def run_left(self, run: TrainRun) -> float | None:
        """Until the end of the run; None if that is not known yet."""
        left, each = self.epoch_left(run), self._batch_seconds()
        if left is None or each is None:
            return None
        done = self._epochs - 1
        # An epoch that is done says more: it had a validation, and time to save.
        whole = (self._epoch_began - self._began) / done if done else each * run.batches
        left += whole * (run.epochs - run.epoch - 1)
        if run.args.time is None:
            return left
        return max(min(left, run.args.time * 3600 - self._earlier - (self._now() - self._began)), 0.0)

    def _batch_seconds(self) -> float | None:
        """Of the first batch nothing is concluded: the processes that make samples have just begun."""
        return (self._now() - self._first) / (self.batches - 1) if self.batches > 1 else None
