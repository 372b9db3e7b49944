"""From batches to steps: gradients are added up, made finite in size, and turned into new weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import record_function

from segkit.core.errors import SegkitError
from segkit.core.model.head import RawHead
from segkit.core.model.network import SegmentationNetwork
from segkit.core.training.averaging import Average
from segkit.core.training.loss import SegmentationLoss
from segkit.core.training.precision import Mixed
from segkit.core.training.processes import Processes
from segkit.core.training.schedule import Settings
from segkit.core.training.targets import Targets

if TYPE_CHECKING:
    from segkit.core.data.loader import TrainBatch

CLIP = 10.0
"""Largest norm of all gradients together in a step."""


class NotFiniteLossError(SegkitError):
    """The loss, or its gradient, is no number any more; `batch` is the one that it happened with."""

    def __init__(self, what: str, batch: TrainBatch, parts: Tensor) -> None:
        """What it is, the batch and the parts of the loss."""
        self.what, self.batch, self.parts = what, batch, parts
        super().__init__(f"The {what} is not a finite number.")


class Pending(NamedTuple):
    """What is not yet in the weights: gradients by name, and the iteration of the last step."""

    gradients: dict[str, Tensor]
    last_step: int


class Stepper:
    """Learns from one batch after another."""

    def __init__(
        self,
        network: SegmentationNetwork,
        forward: Callable[[Tensor], RawHead],
        optimizer: torch.optim.Optimizer,
        average: Average | None,
        loss: SegmentationLoss,
        mixed: Mixed,
        *,
        shares: int = 1,
        layout: torch.memory_format = torch.contiguous_format,
        unsynchronised: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        """Take hold of what learns.

        Args:
            network: its weights.
            forward: the network as it is called: compiled, or shared among processes.
            optimizer: see `optimizers.build`.
            average: of the weights; None in processes that do not keep one.
            loss: of a batch.
            mixed: what is computed in.
            shares: processes whose gradients are averaged, where they ought to be added.
            layout: of pictures and weights in memory.
            unsynchronised: for a backward pass whose gradients other processes need not know yet.
        """
        self._network, self._forward, self._optimizer, self._average = network, forward, optimizer, average
        self._loss, self.mixed, self._shares, self._unsynchronised = loss, mixed, shares, unsynchronised
        self._layout = layout
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._last_step = -1

    def learn(self, batch: TrainBatch, iteration: int, settings: Settings, pictures: int) -> Tensor:
        """Add the gradients of a batch, and make a step if there are enough.

        Args:
            batch: on the network's device.
            iteration: its number in the run, from 0.
            settings: what holds at this iteration.
            pictures: of the batch over all processes.

        Returns:
            (4,) the parts of its loss.

        Raises:
            NotFiniteLossError: the loss is infinite or no number, or its gradient is; the weights are as before.
        """
        self._set(settings)
        due = iteration - self._last_step >= settings.accumulate
        with contextlib.nullcontext() if due else self._unsynchronised():
            with record_function("forward"), self.mixed.computing():
                raw = self._forward(self._pixels(batch))
            with record_function("loss"):
                loss = self._loss(raw, Targets.of(batch), pictures, counted=batch.counted)
            with record_function("backward"):
                self.mixed.backward(loss.total * self._shares)
            # Looked at only now, so that a GPU has been given its work before it is waited for.
            if not loss.parts.isfinite().all():
                raise NotFiniteLossError("loss", batch, loss.parts)
        if due:
            with record_function("step"):
                if not self.mixed.step(self._optimizer, self._parameters, CLIP):
                    raise NotFiniteLossError("gradient of the loss", batch, loss.parts)
            self._optimizer.zero_grad(set_to_none=True)
            self._last_step = iteration
            if self._average is not None:
                self._average.update(self._network)
        return loss.parts

    def pending(self, processes: Processes | None = None) -> Pending:
        """What a run that goes on later must know beside the weights. Of several `processes` each has gradients of its
        own until a step is made: all of them must ask, and their mean is what is kept.
        """
        named = self._network.named_parameters()
        gradients = {name: each.grad for name, each in named if each.grad is not None}
        if processes is not None and processes.world > 1:
            gradients = {name: processes.over_all(each.clone()) / processes.world for name, each in gradients.items()}
        return Pending(gradients, self._last_step)

    def take_up(self, pending: Pending) -> None:
        """Go on where another one was."""
        parameters = dict(self._network.named_parameters())
        for name, gradient in pending.gradients.items():
            parameters[name].grad = laid_out(gradient, parameters[name])
        self._last_step = pending.last_step

    def _pixels(self, batch: TrainBatch) -> Tensor:
        return batch.images.float().div_(255).contiguous(memory_format=self._layout)

    def _set(self, settings: Settings) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = settings.bias_rate if group["kind"] == "bias" else settings.rate
            if "momentum" in group:
                group["momentum"] = settings.momentum


def laid_out(values: Tensor, like: Tensor) -> Tensor:
    """The same numbers, in memory as those of a parameter are: fused optimizers go through both side by side."""
    return torch.empty_like(like).copy_(values)
