"""What happens in a training, for those who want to know: functions of a script, and plugins.

    model.add_callback("on_train_epoch_end", lambda run: print(run.epoch, run.losses))

A plugin is a module with implementations of the hooks below, named by an entry point in the group `segkit.callbacks`.
All are called in the process that writes (with several: that of rank 0), with the `TrainRun`, which they may ask to
stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

from segkit.core.errors import OptionError, nearest

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun

GROUP = "segkit.callbacks"
PROJECT = "segkit.callbacks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Callback = Callable[["TrainRun"], object]


class Hooks:
    """The moments of a training, in their order. The names of callbacks are those without `segkit_`, with `on_`."""

    @hookspec
    def segkit_pretrain_routine_start(self, run: TrainRun) -> None:
        """Before the data set and the network are made ready."""

    @hookspec
    def segkit_pretrain_routine_end(self, run: TrainRun) -> None:
        """They are."""

    @hookspec
    def segkit_train_start(self, run: TrainRun) -> None:
        """Before the first epoch."""

    @hookspec
    def segkit_train_epoch_start(self, run: TrainRun) -> None:
        """Before an epoch."""

    @hookspec
    def segkit_train_batch_start(self, run: TrainRun) -> None:
        """Before a batch."""

    @hookspec
    def segkit_train_batch_end(self, run: TrainRun) -> None:
        """After a batch: `run.losses` are the means of the epoch so far."""

    @hookspec
    def segkit_train_epoch_end(self, run: TrainRun) -> None:
        """After the batches of an epoch, before its validation."""

    @hookspec
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """After the validation of an epoch: `run.record` and `run.metrics` are of it."""

    @hookspec
    def segkit_model_save(self, run: TrainRun) -> None:
        """Checkpoints were written."""

    @hookspec
    def segkit_train_end(self, run: TrainRun) -> None:
        """After the last epoch and the validation of the best weights."""

    @hookspec
    def segkit_teardown(self, run: TrainRun) -> None:
        """At the very end, also of a run that failed or was interrupted."""


EVENTS = tuple(f"on_{name.removeprefix('segkit_')}" for name in vars(Hooks) if name.startswith("segkit_"))
"""Names that `add_callback` takes, in the order in which they happen; and "teardown" for the last one."""


def event(name: str) -> str:
    """The hook that a callback's event stands for.

    Raises:
        OptionError: there is no such event.
    """
    known = f"on_{name}" if name == "teardown" else name
    if known in EVENTS:
        return f"segkit_{known.removeprefix('on_')}"
    guess = nearest(name, EVENTS)
    problem = f"known are {', '.join(EVENTS)}" + (f"; did you mean {guess}?" if guess else "")
    raise OptionError.invalid("event", name, problem)
