"""Optimizers: which one, with which rate, for which tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from segkit.core.training.arguments import OptimizerName, TrainArguments

LONG = 10_000
"""Steps from which on plain gradient descent is chosen: it ends better, and a short run would not get there."""

NOMINAL = 64
"""Pictures in a step, where the number of steps is estimated."""


class Chosen(NamedTuple):
    """An optimizer and what it begins with."""

    name: OptimizerName
    rate: float
    momentum: float
    warmup_bias_rate: float


def choose(args: TrainArguments, *, pictures: int, batch: int, classes: int) -> Chosen:
    """The optimizer that is asked for, or for "auto" the one that fits the length of the run and the classes."""
    if args.optimizer is not OptimizerName.AUTO:
        return Chosen(args.optimizer, args.lr0, args.momentum, args.warmup_bias_lr)
    steps = math.ceil(pictures / max(batch, NOMINAL)) * args.epochs
    if steps > LONG:
        return Chosen(OptimizerName.SGD, 0.01, 0.9, 0.0)
    return Chosen(OptimizerName.ADAMW, round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0)


def build(network: nn.Module, chosen: Chosen, weight_decay: float) -> torch.optim.Optimizer:
    """An optimizer with three groups: weights of convolutions, which decay; those of batch norms; biases.

    Each group has its `kind`: weight, norm or bias. Tensors that do not learn are in none.
    """
    groups: dict[str, list[nn.Parameter]] = {"weight": [], "norm": [], "bias": []}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                kind = "bias" if "bias" in name else "norm" if isinstance(module, nn.BatchNorm2d) else "weight"
                groups[kind].append(parameter)
    given: list[dict[str, Any]] = [
        {"params": parameters, "kind": kind, "weight_decay": weight_decay if kind == "weight" else 0.0}
        for kind, parameters in groups.items()
    ]
    return _MAKERS[chosen.name](given, chosen)


def _sgd(groups: list[dict[str, Any]], chosen: Chosen) -> torch.optim.Optimizer:
    nesterov = chosen.momentum > 0
    made = torch.optim.SGD(groups, lr=chosen.rate, momentum=chosen.momentum, nesterov=nesterov, fused=_can_fuse(groups))
    # Torch makes room for the momentum in the first step. Where fp16 overflows in it, the step is left out and that
    # room stays as it was found: anything, not seldom NaN.
    for group in made.param_groups:
        for parameter in group["params"]:
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def _adam(kind: type[torch.optim.Adam]) -> Callable[[list[dict[str, Any]], Chosen], torch.optim.Optimizer]:
    def make(groups: list[dict[str, Any]], chosen: Chosen) -> torch.optim.Optimizer:
        return kind(groups, lr=chosen.rate, betas=(chosen.momentum, 0.999), fused=_can_fuse(groups))

    return make


def _other(kind: type[torch.optim.NAdam | torch.optim.RAdam]) -> Callable[..., torch.optim.Optimizer]:
    return lambda groups, chosen: kind(groups, lr=chosen.rate, betas=(chosen.momentum, 0.999))


def _rmsprop(groups: list[dict[str, Any]], chosen: Chosen) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups, lr=chosen.rate, momentum=chosen.momentum)


_MAKERS: dict[OptimizerName, Callable[[list[dict[str, Any]], Chosen], torch.optim.Optimizer]] = {
    OptimizerName.SGD: _sgd,
    OptimizerName.ADAM: _adam(torch.optim.Adam),
    OptimizerName.ADAMW: _adam(torch.optim.AdamW),
    OptimizerName.NADAM: _other(torch.optim.NAdam),
    OptimizerName.RADAM: _other(torch.optim.RAdam),
    OptimizerName.RMSPROP: _rmsprop,
}


def _can_fuse(groups: list[dict[str, Any]]) -> bool:
    """One pass over all tensors instead of one an operation, where torch has it."""
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return devices <= {"cpu", "cuda"} and bool(devices)
