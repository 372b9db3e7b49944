"""The running average of a network's weights: what is validated, saved and published."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from segkit.core.model.network import SegmentationNetwork

DECAY, RISE = 0.9999, 2000.0
"""The average's share of itself at an update in the long run, and the updates in which it comes near to that."""


class Average:
    """Weights and statistics of batch norms, averaged over the steps of a training (float32)."""

    def __init__(self, network: SegmentationNetwork, updates: int = 0) -> None:
        """Begin with a copy of the network."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = updates
        self._source: SegmentationNetwork | None = None
        self._pairs: dict[bool, tuple[list[Tensor], list[Tensor]]] = {}

    @property
    def decay(self) -> float:
        """The share that the average keeps of itself at the latest update: it begins with hardly anything."""
        return DECAY * (1 - math.exp(-self.updates / RISE))

    @torch.no_grad()
    def update(self, network: SegmentationNetwork) -> None:
        """Take in the network after a step."""
        self.updates += 1
        if network is not self._source:
            self._pair(network)
        torch._foreach_lerp_(*self._pairs[True], 1 - self.decay)
        torch._foreach_copy_(*self._pairs[False])

    def _pair(self, network: SegmentationNetwork) -> None:
        """Numbers to average, and those to copy: the same tensors at every step, so that they are looked up once."""
        mine, theirs = self.network.state_dict(), network.state_dict()
        self._source = network
        for floating in (True, False):
            names = [name for name, value in mine.items() if value.is_floating_point() is floating]
            self._pairs[floating] = [mine[name] for name in names], [theirs[name] for name in names]

    def load(self, state: dict[str, Tensor], updates: int) -> None:
        """Go on with an average that was saved."""
        self.network.load_state_dict(state)
        self.updates = updates
