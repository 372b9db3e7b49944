"""The network: description, weights in and out, transfer, summary.

Names are imported when they are used, because what a weights file says about itself (`read_checkpoint`) needs no torch.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from segkit.core.backend.openmp import considerate_threads
from segkit.core.errors import MissingDependencyError
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

NEEDS = {"torch": "torch>=2.9", "safetensors": "safetensors>=0.5"}
"""Packages that the network itself asks for, as pip takes them; a light installation has neither."""

_named = lazy_names(
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


def __getattr__(name: str) -> Any:
    """A public name, imported now; a package that is absent is named with the line for pip."""
    try:
        with considerate_threads():
            return _named(name)
    except ModuleNotFoundError as error:
        if missing := [need for package, need in NEEDS.items() if find_spec(package) is None]:
            raise MissingDependencyError(missing, "The network itself") from error
        raise
