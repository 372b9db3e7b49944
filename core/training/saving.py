"""When checkpoints of a run are written, and which."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from segkit.core.files import atomic_write, output_error
from segkit.core.notices import notice
from segkit.core.training.arguments import NOT_SAVED
from segkit.core.training.checkpoint import Position, State, random_state, remembered, save_state, save_weights

if TYPE_CHECKING:
    from segkit.core.model.network import SegmentationNetwork
    from segkit.core.training.learner import Learner
    from segkit.core.training.processes import Processes
    from segkit.core.training.run import TrainRun
    from segkit.core.training.stepper import Pending

ARGUMENTS = "args.yaml"
"""File with the arguments of a run, for `cfg`."""


class Saver:
    """Writes the checkpoints of a run, in the process that writes.

    Of a run with save=False it writes none.
    """

    def __init__(self, run: TrainRun, model: Path, plan: Mapping[str, Any], processes: Processes) -> None:
        """The run, what it began with, what its arguments came to, and its processes."""
        self._run, self._args, self._model = run, run.args, model
        self._plan, self._processes = dict(plan), processes

    def beginning(self, learner: Learner, position: Position) -> None:
        """Before the first step: whatever ends the run from now on, it can be resumed; and a folder in which nothing
        can be written is found out before an epoch is lost to it.
        """
        if self._processes.first:
            self._arguments()
            try:
                self._run.best.unlink(missing_ok=True)  # with exist_ok another run's may be there
            except OSError as error:
                raise output_error(self._run.best, error) from error
        self._last(learner, position)

    def epoch(self, learner: Learner, position: Position, *, best: bool) -> bool:
        """After an epoch: where the run is, the best weights if these are they, and one more every `save_period`.

        Returns:
            Whether anything was written.
        """
        if self._args.save and self._processes.first:
            self._weights(learner.average.network, position, best=best)
        # Last: whoever is killed before this writes the same weights again, and never goes on without them.
        return self._last(learner, position)

    def _weights(self, network: SegmentationNetwork, position: Position, *, best: bool) -> None:
        if best:
            save_weights(self._run.best, network, self._remembered(), half=True)
        period = self._args.save_period
        if period > 0 and position.epoch % period == 0:
            save_weights(self._run.wdir / f"epoch{position.epoch}.pt", network, self._remembered(), half=True)

    def interrupted(self, learner: Learner, position: Position, *, whole: bool) -> None:
        """Say how the run goes on, having saved where it is if that is `whole` and the process is alone: of several
        each is elsewhere.
        """
        if not self._args.save:
            notice("interrupted; nothing was saved (save=False)")
            return
        if self._processes.world == 1 and whole:
            self._last(learner, position)
        if self._processes.first and self._run.last.exists():
            command = shlex.join(["segkit", "train", f"model={self._run.last}", "resume=True"])
            notice(f"interrupted; it goes on with: {command}")

    def _last(self, learner: Learner, position: Position) -> bool:
        """Write where the run is; every process must ask."""
        if not self._args.save:
            return False
        pending = learner.stepper.pending(self._processes)
        if not self._processes.first:
            return False
        self._run.wdir.mkdir(parents=True, exist_ok=True)
        state = self._state(learner, position, pending)
        save_state(self._run.last, state, learner.average.network, self._remembered())
        return True

    def _state(self, learner: Learner, position: Position, pending: Pending) -> State:
        return State(
            args=self._args.model_dump(mode="json"),
            plan=self._plan,
            position=position,
            network=learner.network.state_dict(),
            average=learner.average.network.state_dict(),
            updates=learner.average.updates,
            gradients=pending.gradients,
            last_step=pending.last_step,
            optimizer=learner.optimizer.state_dict(),
            scaler=learner.stepper.mixed.scaler.state_dict(),
            random=random_state(),
            history=self._run.history,
        )

    def _arguments(self) -> None:
        """What `cfg` reads."""
        values = {"model": str(self._model), **self._args.model_dump(mode="json", exclude=set(NOT_SAVED))}
        values = {name: ",".join(value) if name == "device" and value else value for name, value in values.items()}
        with atomic_write(self._run.save_dir / ARGUMENTS) as partial:
            partial.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _remembered(self) -> Mapping[str, Any]:
        return remembered(self._args.model_dump(mode="json"))
