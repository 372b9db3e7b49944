"""Weights of another model, as far as they fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from segkit.core.errors import ModelFileError
from segkit.core.model.checkpoint import Checkpoint, read_checkpoint
from segkit.core.model.network import SegmentationNetwork
from segkit.core.model.tensors import NOT_FINITE, first_not_finite


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        fitted: tensors taken over.
        total: tensors of the network.
        left: names of the network's tensors that kept their values.
    """

    fitted: int
    total: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        """One line for users."""
        return f"Transferred {self.fitted} of {self.total} tensors."


def transfer(network: SegmentationNetwork, source: str | Path | Checkpoint) -> TransferReport:
    """Copy every tensor whose name and shape fit into `network`, in place.

    The source may be another kind of model, e.g. a detection model for its backbone. Class names come along when the
    class outputs fit.

    Raises:
        ModelFileError: the source is no weights file, nothing fits, or what fits holds NaN; then nothing is changed.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    state = network.state_dict()
    fitting = {
        name: tensor for name, tensor in checkpoint.state.items() if name in state and state[name].shape == tensor.shape
    }
    where = checkpoint.path
    if not fitting:
        raise ModelFileError(where, "none of its tensors fits this network by name and shape")
    if name := first_not_finite(fitting):
        raise ModelFileError(where, f"tensor {name} holds NaN or infinity: {NOT_FINITE}")
    with torch.no_grad():
        for name, tensor in fitting.items():
            state[name].copy_(tensor)
    last = f"model.{len(network.model) - 1}.cv3."
    outputs = [name for name in state if name.startswith(last) and name.endswith(".2.bias")]
    if all(name in fitting for name in outputs) and set(checkpoint.names) == set(range(network.nc)):
        network.names = dict(checkpoint.names)
    return TransferReport(len(fitting), len(state), tuple(name for name in state if name not in fitting))
