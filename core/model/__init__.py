"""The network: description, weights in and out, transfer, summary.

Names are imported when they are used, because what a weights file says about itself (`read_checkpoint`) needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit.core.model.checkpoint import Checkpoint, read_checkpoint
    from segkit.core.model.config import ModelConfig
    from segkit.core.model.cost import LayerSummary, ModelSummary, summary
    from segkit.core.model.matching import TransferReport, transfer
    from segkit.core.model.network import SegmentationNetwork
    from segkit.core.model.weights import load_network, save_network
    from segkit.core.model.yaml_file import load_config

_HOME = {
    "Checkpoint": "checkpoint",
    "LayerSummary": "cost",
    "ModelConfig": "config",
    "ModelSummary": "cost",
    "SegmentationNetwork": "network",
    "TransferReport": "matching",
    "load_config": "yaml_file",
    "load_network": "weights",
    "read_checkpoint": "checkpoint",
    "save_network": "weights",
    "summary": "cost",
    "transfer": "matching",
}

__all__ = [
    "Checkpoint",
    "LayerSummary",
    "ModelConfig",
    "ModelSummary",
    "SegmentationNetwork",
    "TransferReport",
    "load_config",
    "load_network",
    "read_checkpoint",
    "save_network",
    "summary",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
