"""The loop: epochs of batches, a validation and a checkpoint after each, and an end, whatever kind it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.core.errors import OptionError, RuntimeFailure, TrainingError
from segkit.core.notices import notice
from segkit.core.training import memory
from segkit.core.training.autobatch import fitting_batch
from segkit.core.training.beginning import begin
from segkit.core.training.checkpoint import Position, State, check_plan, load_state, remembered, restore_random
from segkit.core.training.ending import finish, save_batch
from segkit.core.training.interrupts import Interrupts, Torn
from segkit.core.training.learner import Learner, order_of
from segkit.core.training.loss import NAMES
from segkit.core.training.precision import Mixed
from segkit.core.training.preparing import Sets, digest, open_sets, whole_batch
from segkit.core.training.profiling import profiled
from segkit.core.training.record import EpochRecord
from segkit.core.training.repeatable import repeatable
from segkit.core.training.run import TrainRun
from segkit.core.training.saving import Saver
from segkit.core.training.scoring import Scores, score, val_arguments
from segkit.core.training.stepper import NotFiniteLossError

if TYPE_CHECKING:
    from segkit.core.metrics import SegmentationMetrics
    from segkit.core.training.arguments import TrainArguments
    from segkit.core.training.callbacks import Callbacks
    from segkit.core.training.processes import Processes

EARLY = 3
"""Batches of the first epoch in which a lack of memory means that the batch is too large."""


class Trainer:
    """One run, from its arguments to its scores."""

    def __init__(
        self,
        model: Path,
        args: TrainArguments,
        folder: Path,
        processes: Processes,
        callbacks: Callbacks,
        checkpoint: Path | None = None,
    ) -> None:
        """Prepare nothing yet.

        Args:
            model: an architecture (.yaml) or weights.
            args: the arguments.
            folder: of the run; exists.
            processes: those of the training.
            callbacks: told in the first process.
            checkpoint: of the run that goes on; its arguments are `args`.
        """
        self._model, self._args, self._processes, self._callbacks = model, args, processes, callbacks
        self._checkpoint, self._state = checkpoint, load_state(checkpoint) if checkpoint is not None else None
        self._position = Position()
        self._began, self._speed = time.monotonic(), 0.0
        self.run = TrainRun(args=args, save_dir=folder, device=str(processes.device))

    def train(self) -> SegmentationMetrics | None:
        """Train to the end.

        Returns:
            Scores of the best weights; None in the other processes, and where nothing is validated.

        Raises:
            SegkitError: what was given cannot be trained with, or the training cannot go on.
            KeyboardInterrupt: it was interrupted; it can be resumed.
        """
        run = self.run
        try:
            with repeatable(self._args.seed, self._args.deterministic), Interrupts() as interrupts:
                self._call("pretrain_routine_start")
                sets = open_sets(self._args, self._processes)
                run.trainset, run.valset = sets
                batch = self._batch(sets)
                while not self._tried(sets, batch, interrupts):
                    run.model = run.ema = run.optimizer = None
                    memory.give_back()
                    batch //= 2
                    notice(f"not enough memory for batch={batch * 2}: trying {batch}")
                if self._processes.first:
                    run.results = finish(run, self._args, sets.val, remembered(run.settings()))
                self._call("train_end")
        except BaseException:
            with suppress(Exception):  # what ended the run is what is told
                self._call("teardown")
            raise
        self._call("teardown")
        return run.results

    def _batch(self, sets: Sets) -> int:
        """Pictures in a batch: what the run had that goes on, for it may have been measured or halved then."""
        if self._state is not None:
            return int(self._state.plan["batch"])
        return whole_batch(self._args, len(sets.train), lambda share: self._fitting(sets, share))

    def _fitting(self, sets: Sets, share: float) -> int:
        """The batch that takes a share of the memory."""
        if self._processes.world > 1:
            raise OptionError.invalid("batch", share, "with several processes give a whole number")
        args, device = self._args, self._processes.device
        trial = begin(self._model, sets.train.names, weights=None, keep=False, freeze=args.freeze, seed=args.seed)
        order = order_of(sets, args, 1, self._processes, trial.network.stride)
        largest = max(order.sizes(), key=math.prod)
        return fitting_batch(trial.network.to(device), largest, Mixed(args.amp, device), device, share)

    # -- the run ------------------------------------------------------------------------------------------------

    def _tried(self, sets: Sets, batch: int, interrupts: Interrupts) -> bool:
        """Train with this batch; False if it turns out at once that there is not enough memory for it."""
        self._position = Position()
        try:
            resumed = self._checkpoint is not None
            with closing(Learner.of(self._model, sets, self._args, batch, self._processes, resumed=resumed)) as learner:
                saver = self._prepare(learner, sets, batch)
                self._fit(learner, saver, interrupts)
        except Exception as error:
            if not memory.is_short(error):
                raise
            early = self._position.epoch == 0 and self._position.batch < EARLY and not resumed
            if not early or batch == 1 or self._processes.world > 1:
                advice = "Give a smaller batch or imgsz, a smaller model, or amp=True."
                raise TrainingError(
                    f"there is not enough memory ({str(error).splitlines()[0][:160]})", advice
                ) from None
            return False
        return True

    def _prepare(self, learner: Learner, sets: Sets, batch: int) -> Saver:
        run, schedule, chosen = self.run, learner.schedule, learner.chosen
        run.model, run.ema, run.optimizer = learner.network, learner.average.network, learner.optimizer
        run.epochs, run.batches = schedule.epochs, schedule.batches
        plan = {
            "epochs": schedule.epochs,
            "batch": batch,
            "batches": schedule.batches,
            "pictures": len(sets.train),
            "labels": digest(sets.train),
            "validation": digest(sets.val) if sets.val is not None else "",
            "classes": list(sets.train.names.values()),
            "imgsz": list(self._args.imgsz),
            "optimizer": chosen.name.value,
            "rate": chosen.rate,
        }
        if self._state is not None and self._checkpoint is not None:
            check_plan(self._state, plan, self._checkpoint)
            self._take_up(learner, self._state)
            self._state = None  # as large as the run itself
        self._began = time.monotonic() - self._position.seconds
        saver = Saver(run, self._model, plan, self._processes)
        if self._checkpoint is None:
            saver.beginning(learner, self._position)
        self._call("pretrain_routine_end")
        return saver

    def _take_up(self, learner: Learner, state: State) -> None:
        learner.take_up(state)
        restore_random(state.random)
        self._position = state.position
        run = self.run
        run.history, run.start_epoch = list(state.history), state.position.epoch
        run.record = run.history[-1] if run.history else None
        run.best_fitness, run.best_epoch = state.position.best_fitness, state.position.best_epoch
        limits = {name: state.args[name] for name in ("patience", "time")}
        run.stop = state.position.stopped and limits == {name: getattr(self._args, name) for name in limits}

    def _fit(self, learner: Learner, saver: Saver, interrupts: Interrupts) -> None:
        self._call("train_start")
        try:
            with profiled(self.run.save_dir, wanted=self._args.profile and self._processes.first) as stepped:
                while self._position.epoch < learner.schedule.epochs and not self._processes.told(self.run.stop):
                    self._epoch(learner, interrupts, stepped)
                    self._conclude(learner, saver, interrupts)
        except KeyboardInterrupt as interrupt:
            self._position.seconds = time.monotonic() - self._began
            saver.interrupted(learner, self._position, whole=not isinstance(interrupt, Torn))
            raise
        except NotFiniteLossError as error:
            raise save_batch(error, self.run) from None

    def _epoch(self, learner: Learner, interrupts: Interrupts, stepped: Callable[[], None]) -> None:
        position, run, schedule = self._position, self.run, learner.schedule
        run.epoch = position.epoch
        position.sums = position.sums or [0.0] * len(NAMES)
        learner.begin_epoch()
        self._call("train_epoch_start")
        began, pictures = time.perf_counter(), 0
        with closing(learner.loader.epoch(position.epoch, position.batch)) as batches:
            for batch in batches:
                run.batch, run.batch_number = batch, batch.number
                self._call("train_batch_start")
                with interrupts.held():
                    parts = learner.learn(batch, position.epoch * schedule.batches + batch.number)
                    position.sums = [total + part for total, part in zip(position.sums, parts.tolist(), strict=True)]
                    position.batch = batch.number + 1
                stepped()
                pictures += batch.whole
                run.losses = self._means()
                self._call("train_batch_end")
                if self._processes.world == 1 and (run.stop or self._is_late()):
                    run.stop = True
                    break
        run.batch = None
        self._speed = pictures / max(time.perf_counter() - began, 1e-9)
        self._call("train_epoch_end")

    def _means(self) -> dict[str, float]:
        count = max(self._position.batch, 1)
        return {name: total / count for name, total in zip(NAMES, self._position.sums, strict=True)}

    # -- after an epoch -----------------------------------------------------------------------------------------

    def _conclude(self, learner: Learner, saver: Saver, interrupts: Interrupts) -> None:
        """Validate, note, save; decide whether that was the last epoch."""
        run, position = self.run, self._position
        run.losses = self._means()
        scores = self._scores(learner)
        # From here on the epoch is over: noted, and its place in the run moved on, in one.
        with interrupts.held():
            record = self._record(learner, scores)
            if record.best:
                position.best_fitness, position.best_epoch = record.fitness, position.epoch
            position.epoch, position.batch, position.sums = position.epoch + 1, 0, []
            position.seconds = record.seconds
            if self._processes.first:
                run.record, run.metrics, run.fitness = record, dict(record.metrics), record.fitness
                run.best_fitness, run.best_epoch = position.best_fitness, position.best_epoch
                run.history.append(record)
                self._call("fit_epoch_end")
                run.stop = position.stopped = run.stop or self._is_late() or self._is_stuck()
            if saver.epoch(learner, position, best=record.best):
                self._call("model_save")

    def _scores(self, learner: Learner) -> Scores | None:
        if not (self._args.val and self._processes.first) or self.run.valset is None:
            return None
        args = val_arguments(self._args, batch=2 * learner.schedule.batch, plots=False)
        network, loss = learner.average.network, learner.loss.alone()
        try:
            return score(network, self.run.valset, args, loss, self._processes.device)
        except RuntimeFailure as error:
            raise TrainingError(
                f"the network cannot be validated after epoch {self._position.epoch + 1}: {error}",
                "Its last checkpoint is of before. If its outputs are no numbers any more, try a lower lr0.",
            ) from error

    def _record(self, learner: Learner, scores: Scores | None) -> EpochRecord:
        position = self._position
        metrics = dict(scores.metrics.results_dict) if scores else {}
        fitness = metrics.pop("fitness", None)
        return EpochRecord(
            epoch=position.epoch + 1,
            epochs=learner.schedule.epochs,
            seconds=time.monotonic() - self._began,
            losses=self.run.losses,
            val_losses=scores.losses if scores else {},
            metrics=metrics,
            rates=learner.rates(),
            images_per_second=self._speed,
            memory=memory.peak(self._processes.device),
            fitness=fitness,
            best=fitness is not None and (position.best_fitness is None or fitness > position.best_fitness),
        )

    def _is_late(self) -> bool:
        return self._args.time is not None and time.monotonic() - self._began > self._args.time * 3600

    def _is_stuck(self) -> bool:
        """Whether so many epochs brought nothing better that more are not worth the time."""
        waited = self._position.epoch - 1 - self._position.best_epoch
        stuck = bool(self._args.patience) and self._position.best_fitness is not None and waited >= self._args.patience
        if stuck:
            notice(f"no better result for {waited} epochs: stopping (patience={self._args.patience})")
        return stuck

    def _call(self, event: str) -> None:
        if self._processes.first:
            self._callbacks.call(event, self.run)
