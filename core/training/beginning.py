"""The network that a run begins with: built, filled with weights, in part held still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segkit.core.errors import ModelFileError, OptionError
from segkit.core.model.checkpoint import Checkpoint, read_checkpoint
from segkit.core.model.config import ModelConfig
from segkit.core.model.network import SegmentationNetwork
from segkit.core.model.tensors import NOT_FINITE, first_not_finite
from segkit.core.model.yaml_file import load_config
from segkit.core.notices import notice

ARCHITECTURES = (".yaml", ".yml")


class Beginning(NamedTuple):
    """A network to train, and what of it is to learn.

    Attributes:
        network: float32, in train mode, on the CPU.
        still: its modules that are held still.
    """

    network: SegmentationNetwork
    still: tuple[nn.Module, ...]


def begin(
    model: Path, names: Mapping[int, str], *, weights: Path | None, keep: bool, freeze: object, seed: int
) -> Beginning:
    """Build the network for a data set.

    Args:
        model: an architecture (.yaml), or a file of weights, whose architecture is taken.
        names: classes of the data set.
        weights: a file whose tensors are taken over where name and shape fit; its classes go by their names.
        keep: take over those of `model`, if `weights` is None and it has any.
        freeze: see `TrainArguments`.
        seed: for what begins at random.

    Raises:
        ModelFileError: a file is none of a YOLOv8-seg, or nothing of the weights fits.
        OptionError: `freeze` names what is not there.
    """
    own = None if model.suffix.lower() in ARCHITECTURES else read_checkpoint(model)
    config = load_config(model) if own is None else own.require_config()
    source = read_checkpoint(weights) if weights is not None else own if keep else None
    if config.nc != len(names):
        # Class branches of another width could take nothing over, and what is learnt of pictures would be lost with it.
        config = config.with_classes(len(names), like=source.config if source is not None else None)
    network = _random(config, names, seed)
    if source is not None:
        _fill(network, source)
    still = _held(network, freeze)
    return Beginning(network.train(), still)


def _random(config: ModelConfig, names: Mapping[int, str], seed: int) -> SegmentationNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentationNetwork(config, names)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    network.head.dfl.requires_grad_(False)
    return network


def _fill(network: SegmentationNetwork, source: Checkpoint) -> None:
    """Copy what fits, class rows by the names of their classes, and say what did not."""
    state = network.state_dict()
    if any(name.endswith(".conv.bias") for name in source.shapes):
        raise ModelFileError(source.path, "its batch norms are folded away: it cannot be trained any more")
    rows = _rows(network.names, source)
    taken: dict[str, Tensor] = {}
    for name, tensor in source.state.items():
        if name not in state:
            continue
        if _is_class_output(network, name) and (mixed := _by_rows(state[name], tensor, rows)) is not None:
            taken[name] = mixed
        elif state[name].shape == tensor.shape:
            taken[name] = tensor
    if not taken:
        raise ModelFileError(source.path, "none of its tensors fits this network by name and shape")
    if bad := first_not_finite(taken):
        raise ModelFileError(source.path, f"tensor {bad} holds NaN or infinity: {NOT_FINITE}")
    with torch.no_grad():
        for name, tensor in taken.items():
            state[name].copy_(tensor)
    told = f"{source.path.name}: {len(taken)} of {len(state)} tensors taken over"
    if source.config is not None and dict(source.names) != network.names:
        told += f"; of the {network.nc} classes of the data set {len(rows)} are known to it by name"
    if len(taken) < len(state) or dict(source.names) != network.names:
        notice(told)


def _rows(names: Mapping[int, str], source: Checkpoint) -> dict[int, int]:
    """Class of the data set → class of the weights with the same name; by number where these have no real names."""
    if all(name == f"class {index}" for index, name in source.names.items()):
        return {index: index for index in names if index in source.names}
    theirs = {name.strip().lower(): index for index, name in source.names.items()}
    return {index: theirs[key] for index, name in names.items() if (key := name.strip().lower()) in theirs}


def _is_class_output(network: SegmentationNetwork, name: str) -> bool:
    last = len(network.model) - 1
    return name.startswith(f"model.{last}.cv3.") and name.split(".")[4:] in (["2", "weight"], ["2", "bias"])


def _by_rows(mine: Tensor, theirs: Tensor, rows: Mapping[int, int]) -> Tensor | None:
    """The tensor of a class output with the rows of the classes that both know; None where its inputs differ."""
    if mine.shape[1:] != theirs.shape[1:] or not rows or max(rows.values()) >= len(theirs):
        return None
    mixed = mine.clone()
    mixed[list(rows)] = theirs[list(rows.values())].to(mine.dtype)
    return mixed


def _held(network: SegmentationNetwork, freeze: object) -> tuple[nn.Module, ...]:
    """Hold still what is asked for; gives the modules."""
    if freeze is None or freeze == []:
        return ()
    count = len(network.model)
    if isinstance(freeze, int) and freeze < 0:
        raise OptionError.invalid("freeze", freeze, "give a number of layers, or a list of theirs")
    wanted = list(range(freeze)) if isinstance(freeze, int) else freeze if isinstance(freeze, list) else [freeze]
    held = [_layer(network, each, count, freeze) for each in wanted]
    for module in held:
        module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise OptionError.invalid("freeze", freeze, f"nothing is left to learn of {count} layers, 0 to {count - 1}")
    return tuple(held)


def _layer(network: SegmentationNetwork, wanted: object, count: int, freeze: object) -> nn.Module:
    if isinstance(wanted, int):
        if not 0 <= wanted < count:
            raise OptionError.invalid("freeze", freeze, f"there are {count} layers, 0 to {count - 1}")
        return network.model[wanted]
    try:
        return network.get_submodule(str(wanted))
    except AttributeError:
        example = f"a layer such as {count - 1}, or a module such as model.{count - 1}.proto"
        raise OptionError.invalid("freeze", freeze, f"there is no '{wanted}'; give {example}") from None
