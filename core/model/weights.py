"""Networks from files and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from segkit.core.errors import ModelFileError, OutputError
from segkit.core.files import atomic_write
from segkit.core.model.checkpoint import MARK, Checkpoint, read_checkpoint
from segkit.core.model.infer import Shapes
from segkit.core.model.network import SegmentationNetwork
from segkit.core.model.tensors import NOT_FINITE, first_not_finite
from segkit.core.model.yaml_file import load_config

SUFFIXES = (".pt", ".safetensors")


def load_network(source: str | Path | Checkpoint) -> SegmentationNetwork:
    """A network from a `.pt` or `.safetensors` file, or with random weights from a `.yaml`.

    In float32 and eval mode, on the CPU. A fused file gives a fused network.

    Raises:
        ModelFileError: missing, damaged, foreign, or holding NaN; it says what it is.
        UnsafeCheckpointError: its pickle names something outside the safe list.
    """
    if not isinstance(source, Checkpoint):
        if Path(source).suffix.lower() in (".yaml", ".yml"):
            return SegmentationNetwork(load_config(source)).eval()
        source = read_checkpoint(source)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        network = SegmentationNetwork(source.require_config(), source.names)
        if not any(name.endswith(".bn.weight") for name in source.shapes):
            network.fuse()
    wanted = network.state_dict()
    _check_fit(source.path, wanted, source.shapes)
    state = {name: _converted(source.path, name, tensor, wanted[name].dtype) for name, tensor in source.state.items()}
    if name := first_not_finite(state):
        raise ModelFileError(source.path, f"tensor {name} holds NaN or infinity: {NOT_FINITE}")
    network.load_state_dict(state, assign=True)
    return network.eval()


def save_network(
    network: SegmentationNetwork, path: str | Path, *, train_args: Mapping[str, Any] | None = None
) -> None:
    """Write weights, names and configuration; the old file stays until the new one is complete.

    Args:
        network: of any device; its own type of numbers is kept.
        path: `.pt` (a plain dict, readable by `torch.load(weights_only=True)`) or `.safetensors`.
        train_args: plain values to be kept with the weights.

    Raises:
        OutputError: another suffix, or the target cannot be written.
    """
    path = Path(path)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    block: dict[str, Any] = {
        "schema": 1,
        "config": network.config.model_dump(mode="json"),
        "names": {str(index): name for index, name in network.names.items()},
        "train_args": dict(train_args or {}),
    }
    # Serialised in memory first: whatever goes wrong on the disk is then an OSError of ours, not torch's riddle.
    match path.suffix.lower():
        case ".pt":
            buffer = io.BytesIO()
            torch.save({MARK: block, "state_dict": state}, buffer)
            data = buffer.getbuffer()
        case ".safetensors":
            header = {MARK: json.dumps(block, ensure_ascii=False)}  # one key: the library shuffles several
            data = memoryview(safetensors.torch.save(state, header))
        case _:
            raise OutputError(path, f"weights are saved as {' or '.join(SUFFIXES)}")
    with atomic_write(path) as partial:
        partial.write_bytes(data)


def _converted(path: Path, name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype.is_floating_point and not tensor.is_floating_point():
        raise ModelFileError(
            path, f"tensor {name} is stored as {str(tensor.dtype).removeprefix('torch.')}, not as floats"
        )
    return tensor.to(dtype)


def _check_fit(path: Path, wanted: Mapping[str, Tensor], given: Shapes) -> None:
    """The first difference between what the network needs and what the file has, as an error."""
    for name, tensor in wanted.items():
        if name not in given:
            raise ModelFileError(path, f"it is not a YOLOv8-seg network: it has no {name}")
        if given[name] != tuple(tensor.shape):
            shapes = f"{given[name]}, not {tuple(tensor.shape)}"
            raise ModelFileError(path, f"it is not a YOLOv8-seg network: {name} is {shapes}")
    if extra := next((name for name in given if name not in wanted), None):
        raise ModelFileError(path, f"it is not a YOLOv8-seg network: it has a {extra}")
