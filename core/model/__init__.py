"""The network: description, weights in and out, transfer, summary.

Names are imported when they are used, because what a weights file says about itself (`read_checkpoint`) needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.model.checkpoint import Checkpoint, read_checkpoint
    from segkit.core.model.config import ModelConfig
    from segkit.core.model.cost import LayerSummary, ModelSummary, summary
    from segkit.core.model.matching import TransferReport, transfer
    from segkit.core.model.network import SegmentationNetwork
    from segkit.core.model.weights import load_network, save_network
    from segkit.core.model.yaml_file import load_config

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

__getattr__ = lazy_names(
    __name__,
    {
        "checkpoint": ("Checkpoint", "read_checkpoint"),
        "config": ("ModelConfig",),
        "cost": ("LayerSummary", "ModelSummary", "summary"),
        "matching": ("TransferReport", "transfer"),
        "network": ("SegmentationNetwork",),
        "weights": ("load_network", "save_network"),
        "yaml_file": ("load_config",),
    },
)
