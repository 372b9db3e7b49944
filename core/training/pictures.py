"""The pictures of a training: what is labelled, what the network is shown, and how the figures went."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from segkit.core.backend.faults import words
from segkit.core.errors import SegkitError
from segkit.core.notices import notice
from segkit.core.training.events import hookimpl

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun

FIRST = 3
"""Batches of a new run that are drawn."""


class Pictures:
    """Writes labels.jpg, train_batch0.jpg to train_batch2.jpg, one more where mosaic ends, and results.png.

    The number of a batch is counted over the run. A picture that cannot be drawn costs a notice and no other picture.
    """

    title = "The drawing of pictures"

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._failed: set[str] = set()
        self._drawn = 0

    @hookimpl
    def segkit_pretrain_routine_end(self, run: TrainRun) -> None:
        """The labels, of a new run."""
        if run.trainset is not None and run.start_epoch == 0:
            self._try("labels.jpg", _draw_labels, run)

    @hookimpl
    def segkit_train_batch_start(self, run: TrainRun) -> None:
        """A batch, before it is on its way to the device."""
        if run.batch is not None and (_is_first(run) or _ends_mosaic(run)):
            self._try("pictures of batches", _draw_batch, run)

    @hookimpl
    def segkit_train_end(self, run: TrainRun) -> None:
        """The figures."""
        self._results(run)

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        """The figures of a run that did not come to its end."""
        self._results(run)

    def _results(self, run: TrainRun) -> None:
        if len(run.history) > self._drawn:
            self._drawn = len(run.history)
            self._try("results.png", _draw_results, run)

    def _try(self, what: str, draw: Callable[[TrainRun], None], run: TrainRun) -> None:
        if what in self._failed:
            return
        try:
            draw(run)
        except Exception as error:  # of a library that draws, too: nobody trains for the sake of a picture
            self._failed.add(what)
            notice(f"no {what}: {error if isinstance(error, SegkitError) else words(error)}")


def _draw_labels(run: TrainRun) -> None:
    from segkit.core.training.labels_picture import draw_labels_picture

    assert run.trainset is not None
    draw_labels_picture(run.trainset, run.save_dir / "labels.jpg")


def _draw_batch(run: TrainRun) -> None:
    from segkit.core.training.batch_sheet import draw_batch

    assert run.batch is not None
    number = run.epoch * run.batches + run.batch_number
    draw_batch(run.batch, run.names, run.save_dir / f"train_batch{number}.jpg")


def _draw_results(run: TrainRun) -> None:
    from segkit.core.training.results_picture import draw_results

    draw_results(run.history, run.save_dir / "results.png")


def _is_first(run: TrainRun) -> bool:
    return run.epoch == 0 and run.batch_number < FIRST


def _ends_mosaic(run: TrainRun) -> bool:
    """Whether it is the first batch without what puts several pictures together, in a run that had that before."""
    if run.epoch == 0 or run.batch_number != 0:
        return False
    before, now = run.args.at(run.epoch - 1, run.epochs), run.args.at(run.epoch, run.epochs)
    return before != now
