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

    @property
    def decay(self) -> float:
        """The share that the average keeps of itself at the latest update: it begins with hardly anything."""
        return DECAY * (1 - math.exp(-self.updates / RISE))

    @torch.no_grad()
    def update(self, network: SegmentationNetwork) -> None:
        """Take in the network after a step."""
        self.updates += 1
        mine, theirs = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[name] for name in floats], [theirs[name] for name in floats], 1 - self.decay)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])

    def load(self, state: dict[str, Tensor], updates: int) -> None:
        """Go on with an average that was saved."""
        self.network.load_state_dict(state)
        self.updates = updates
