"""Everything that learns in a run, made from its arguments: network, average, optimizer, schedule, loader."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.loader import TrainBatch, TrainLoader
from segkit.core.data.order import Order
from segkit.core.files import expanded
from segkit.core.model.head import RawHead
from segkit.core.model.network import SegmentationNetwork
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.averaging import Average
from segkit.core.training.beginning import begin
from segkit.core.training.checkpoint import State
from segkit.core.training.loss import Gains, SegmentationLoss
from segkit.core.training.optimizers import Chosen, build, choose
from segkit.core.training.precision import Mixed
from segkit.core.training.preparing import Sets
from segkit.core.training.processes import Processes
from segkit.core.training.schedule import Schedule
from segkit.core.training.stepper import Pending, Stepper, laid_out


@dataclass
class Learner:
    """What a run is made of. `close` it.

    Attributes:
        network: the weights that learn, in train mode on the run's device.
        still: its modules that are held still.
        average: of its weights; kept up in the first process alone.
        chosen: the optimizer by name, and what it began with.
        optimizer: itself.
        schedule: settings of every iteration.
        loss: of a batch.
        stepper: makes steps.
        loader: makes batches.
        processes: those of the run.
    """

    network: SegmentationNetwork
    still: tuple[nn.Module, ...]
    average: Average
    chosen: Chosen
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    loss: SegmentationLoss
    stepper: Stepper
    loader: TrainLoader
    processes: Processes

    @classmethod
    def of(
        cls, model: Path, sets: Sets, args: TrainArguments, batch: int, processes: Processes, *, resumed: bool
    ) -> Learner:
        """Make it for `batch` pictures over all processes; weights are only looked for in a run that begins."""
        device = processes.device
        weights = expanded(args.pretrained) if isinstance(args.pretrained, str) and not resumed else None
        keep = args.pretrained is True and not resumed
        network, still = begin(model, sets.train.names, weights=weights, keep=keep, freeze=args.freeze, seed=args.seed)
        layout = torch.channels_last if _channels_last(args, device) else torch.contiguous_format
        network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        loader = _loader(sets, args, batch, processes, network.stride)
        chosen = choose(args, pictures=len(sets.train), batch=batch, classes=network.nc)
        schedule = Schedule(
            args.epochs,
            len(loader),
            batch,
            args.nbs,
            rate=chosen.rate,
            final=args.lrf,
            momentum=chosen.momentum,
            cosine=args.cos_lr,
            warmup_epochs=args.warmup_epochs,
            warmup_momentum=args.warmup_momentum,
            warmup_bias_rate=chosen.warmup_bias_rate,
        )
        optimizer = build(network, chosen, schedule.decay(args.weight_decay))
        average = Average(network)
        gains = Gains(args.box, args.cls, args.dfl)
        loss = SegmentationLoss(tuple(network.config.strides), gains, processes.over_all)
        forward, unsynchronised = _forward(network, args, processes)
        stepper = Stepper(
            network,
            forward,
            optimizer,
            average if processes.first else None,
            loss,
            Mixed(args.amp, device),
            shares=processes.world,
            layout=layout,
            unsynchronised=unsynchronised,
        )
        return cls(network, still, average, chosen, optimizer, schedule, loss, stepper, loader, processes)

    def begin_epoch(self) -> None:
        """Train mode for all that is to learn."""
        self.network.train()
        for module in self.still:
            module.eval()

    def learn(self, batch: TrainBatch, iteration: int) -> Tensor:
        """(4,) parts of the loss of a batch over all processes, on the CPU."""
        settings = self.schedule.at(iteration)
        # The host's memory is written to again only after the step, which ends when the GPU has read all of it.
        there = batch.to(self.processes.device, non_blocking=True)
        parts = self.stepper.learn(there, iteration, settings, batch.whole)
        return self.processes.over_all(parts).cpu()

    def rates(self) -> dict[str, float]:
        """Learning rates by the names that logs know."""
        return {f"pg{index}": float(group["lr"]) for index, group in enumerate(self.optimizer.param_groups)}

    def take_up(self, state: State) -> None:
        """Go on where another one was."""
        self.network.load_state_dict(dict(state.network))
        self.average.load(dict(state.average), state.updates)
        self.optimizer.load_state_dict(dict(state.optimizer))
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = laid_out(value, parameter)
        if state.scaler:  # none where the run was in float32, as on a CPU
            self.stepper.mixed.scaler.load_state_dict(dict(state.scaler))
        self.stepper.take_up(Pending(dict(state.gradients), state.last_step))

    def close(self) -> None:
        """End the processes that make batches."""
        self.loader.close()


def order_of(sets: Sets, args: TrainArguments, batch: int, processes: Processes, stride: int) -> Order:
    """Which samples are in which batch, of which size, and which of them this process makes."""
    return Order(
        [sample.size for sample in sets.train],
        batch,
        imgsz=args.imgsz,
        seed=args.seed,
        rank=processes.rank,
        world=processes.world,
        multi_scale=args.multi_scale,
        rect=args.rect,
        stride=stride,
    )


def _loader(sets: Sets, args: TrainArguments, batch: int, processes: Processes, stride: int) -> TrainLoader:
    changes = AugmentArguments(**args.model_dump(include=set(AugmentArguments.model_fields)))
    samples = TrainingSamples(sets.train, changes, imgsz=args.imgsz, seed=args.seed, epochs=args.epochs)
    order = order_of(sets, args, batch, processes, stride)
    return TrainLoader(
        samples, order, workers=args.workers, pin=processes.device.type == "cuda", cache=args.cache.value
    )


def _channels_last(args: TrainArguments, device: torch.device) -> bool:
    """The layout in which convolutions are fastest, unless the user says otherwise."""
    return device.type in ("cpu", "cuda") if args.channels_last is None else args.channels_last


def _forward(
    network: SegmentationNetwork, args: TrainArguments, processes: Processes
) -> tuple[Callable[[Tensor], RawHead], Callable[[], contextlib.AbstractContextManager[Any]]]:
    """The network as it is called in a training, and what keeps its gradients from the other processes."""
    forward: Any = torch.compile(network) if args.compile else network
    if processes.world == 1:
        return forward, contextlib.nullcontext
    from torch.nn.parallel import DistributedDataParallel

    cards = [processes.device] if processes.device.type == "cuda" else None
    shared = DistributedDataParallel(forward, device_ids=cards, gradient_as_bucket_view=True)
    return shared, shared.no_sync
