"""What a run leaves on disk: weights to use, and everything that is needed to go on.

A checkpoint is a plain dict that `torch.load(weights_only=True)` reads: the averaged weights as in any other weights
file of ours, and under "training" the state of the run. It is there whole or not at all.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segkit.core.backend.metadata import data_name
from segkit.core.errors import InputError, ModelFileError
from segkit.core.files import atomic_write, sweep
from segkit.core.model.checkpoint import MARK
from segkit.core.model.network import SegmentationNetwork
from segkit.core.training.record import EpochRecord

STATE = "training"
SCHEMA = 1


@dataclass
class Position:
    """Where a run is: the next batch to learn from.

    Attributes:
        epoch: from 0.
        batch: of the epoch, from 0.
        sums: of the losses of the epoch so far.
        seconds: that the run has taken.
        best_fitness, best_epoch: of the best epoch so far.
        stopped: whether no epoch is to come, though there could be more.
    """

    epoch: int = 0
    batch: int = 0
    sums: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best_fitness: float | None = None
    best_epoch: int = 0
    stopped: bool = False


@dataclass
class State:
    """Everything that a run needs to go on as if it had never stopped.

    Attributes:
        args: the arguments, as plain values.
        plan: what they came to: epochs, batch, batches, optimizer, …; it must come to the same again.
        position: where it is.
        network: state dict of the weights that learn (float32).
        average: state dict of the averaged ones (float32), and how often they were updated.
        updates: how often that was.
        gradients: those that are not yet in the weights, by name.
        last_step: iteration of the last step.
        optimizer, scaler: state dicts.
        random: states of the generators of random numbers.
        history: the records of the epochs that are done.
    """

    args: dict[str, Any]
    plan: dict[str, Any]
    position: Position
    network: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    updates: int
    gradients: Mapping[str, Tensor]
    last_step: int
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    random: Mapping[str, Any]
    history: list[EpochRecord]


def save_state(path: Path, state: State, like: SegmentationNetwork, train_args: Mapping[str, Any]) -> None:
    """Write a checkpoint to go on from.

    Args:
        path: the file.
        state: of the run.
        like: the averaged network, for its configuration and names.
        train_args: what its weights are remembered by.

    Raises:
        OutputError: it cannot be written; what was there before still is.
    """
    body = {name: value for name, value in vars(state).items() if name not in ("average", "history", "position")}
    body |= {"position": asdict(state.position), "history": [_plain(record) for record in state.history]}
    _write(path, _block(like, train_args), state.average, {"schema": SCHEMA, **body})


def save_weights(path: Path, network: SegmentationNetwork, train_args: Mapping[str, Any], *, half: bool) -> None:
    """Write averaged weights alone, in half precision if that is wanted.

    Raises:
        OutputError: it cannot be written; what was there before still is.
    """
    state = {name: _halved(each) if half else each for name, each in network.state_dict().items()}
    _write(path, _block(network, train_args), state, None)


def load_state(path: Path) -> State:
    """The state of the run that a checkpoint was written by.

    Raises:
        ModelFileError: no such file, damaged, or not a checkpoint of a run that can go on.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelFileError(path, "there is no such checkpoint") from None
    except Exception:  # torch raises what it likes for a damaged, foreign or hostile file
        found = None
    if not isinstance(found, dict) or MARK not in found:
        raise ModelFileError(
            path,
            "it is not from a training of segkit, which alone can be resumed, or it is damaged; train it as a new run",
        )
    body = found.get(STATE)
    if not isinstance(body, dict):
        raise ModelFileError(
            path, "its training is finished, or it is weights alone: nothing is left to resume; train it as a new run"
        )
    if body.get("schema") != SCHEMA:
        raise ModelFileError(path, f"it has schema {body.get('schema')}, and this version of segkit reads {SCHEMA}")
    try:
        position, history = Position(**body["position"]), [EpochRecord(**record) for record in body["history"]]
        rest = {name: body[name] for name in State.__annotations__ if name not in ("average", "history", "position")}
        return State(**rest, average=found["state_dict"], history=history, position=position)
    except (KeyError, TypeError) as error:
        raise ModelFileError(path, f"its training state is damaged ({error})") from None


def random_state() -> dict[str, Any]:
    """The states of all generators of random numbers, as tensors and plain data."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Put the generators where they were."""
    random.setstate(_tuples(state["python"]))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


_OTHER = {
    "labels": "the pictures or labels to learn from are other ones now",
    "validation": "the pictures or labels to validate with are other ones now",
}


def check_plan(state: State, plan: Mapping[str, Any], path: Path) -> None:
    """A run goes on only as the one that it was.

    Raises:
        InputError: the data set, or what was made of the arguments, is another one.
    """
    for name, value in plan.items():
        if (before := state.plan.get(name)) != value:
            what = _OTHER.get(name, f"{name} = {before} has become {value}")
            raise InputError(
                f"Cannot resume '{path}': {what}; put back what was changed, or train its weights as a new run."
            )


def remembered(args: Mapping[str, Any]) -> dict[str, Any]:
    """What weights are remembered by: plain arguments, of the data set its name alone."""
    kept = {name: value for name, value in args.items() if isinstance(value, str | int | float | bool)}
    size = args.get("imgsz")
    if isinstance(size, list | tuple) and len(set(size)) == 1:
        kept["imgsz"] = int(size[0])
    name = data_name(args.get("data"))
    kept.pop("data", None)
    for place in ("project", "name", "pretrained", "resume"):
        kept.pop(place, None)
    return kept | ({"data": name} if name else {})


def _block(network: SegmentationNetwork, train_args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1,
        "config": network.config.model_dump(mode="json"),
        "names": {str(index): name for index, name in network.names.items()},
        "train_args": dict(train_args),
    }


def _write(
    path: Path, block: Mapping[str, Any], weights: Mapping[str, Tensor], state: Mapping[str, Any] | None
) -> None:
    whole: dict[str, Any] = {MARK: dict(block), "state_dict": _on_host(weights)}
    if state is not None:
        whole[STATE] = _on_host(state)
    # Serialised in memory first: whatever goes wrong on the disk is then an OSError of ours, not torch's riddle.
    buffer = io.BytesIO()
    torch.save(whole, buffer)
    sweep(path)
    with atomic_write(path, durable=True) as partial:
        partial.write_bytes(buffer.getbuffer())


def _halved(value: Tensor) -> Tensor:
    """In half precision, unless that has no room for it."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value


def _on_host(value: Any) -> Any:
    """The same with tensors on the CPU, in plain containers."""
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous()
    if isinstance(value, Mapping):
        return {key: _on_host(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_host(each) for each in value)
    return value


def _plain(record: EpochRecord) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(record).items()}


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list | tuple) else value
