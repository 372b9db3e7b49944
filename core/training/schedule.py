"""How fast a network learns at which iteration. Plain numbers, no torch.

The rate falls from epoch to epoch, along a line or a cosine. In the first iterations it rises from nothing, that of
biases falls from a higher one, momentum rises, and ever more batches are added up before a step is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class Settings(NamedTuple):
    """What holds at one iteration.

    Attributes:
        rate: learning rate of weights and of batch norms.
        bias_rate: learning rate of biases.
        momentum: of an optimizer that has one.
        accumulate: batches whose gradients are added up for a step.
    """

    rate: float
    bias_rate: float
    momentum: float
    accumulate: int


@dataclass(frozen=True)
class Schedule:
    """Settings of every iteration of a run.

    Attributes:
        epochs: of the run.
        batches: in an epoch.
        batch: pictures in a batch, over all processes.
        nominal: pictures that a step is made of, as near as whole batches come to it.
        rate, final: learning rate in the beginning, and the share of it in the end.
        momentum: after the warm-up.
        cosine: fall along a cosine, not a line.
        warmup_epochs, warmup_momentum, warmup_bias_rate: the warm-up.
    """

    epochs: int
    batches: int
    batch: int
    nominal: int = 64
    rate: float = 0.01
    final: float = 0.01
    momentum: float = 0.937
    cosine: bool = False
    warmup_epochs: float = 3.0
    warmup_momentum: float = 0.8
    warmup_bias_rate: float = 0.1

    @property
    def accumulate(self) -> int:
        """Batches for a step after the warm-up; no more than there are."""
        return min(max(round(self.nominal / self.batch), 1), self.batches * self.epochs)

    @property
    def warmup(self) -> int:
        """Iterations of the warm-up: at least one epoch is without."""
        return round(min(self.warmup_epochs, self.epochs - 1) * self.batches)

    def decay(self, weight_decay: float) -> float:
        """The weight decay of a step, which is told for a step of the nominal batch."""
        return weight_decay * self.batch * max(round(self.nominal / self.batch), 1) / self.nominal

    def factor(self, epoch: int) -> float:
        """The share of the first rate that is left in an epoch, from 0."""
        if self.cosine:
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return max(1 - epoch / self.epochs, 0) * (1 - self.final) + self.final

    def at(self, iteration: int) -> Settings:
        """What holds at an iteration, from 0."""
        rate = self.rate * self.factor(iteration // self.batches)
        if not self.warmup or iteration > self.warmup:
            return Settings(rate, rate, self.momentum, self.accumulate)
        share = iteration / self.warmup
        rising = 1 + (self.nominal / self.batch - 1) * share
        return Settings(
            rate * share,
            self.warmup_bias_rate + (rate - self.warmup_bias_rate) * share,
            self.warmup_momentum + (self.momentum - self.warmup_momentum) * share,
            min(max(1, round(rising)), self.batches * self.epochs),
        )
