"""The processes of a training: one, or several that share its batches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from segkit.core.errors import OptionError, TrainingError
from segkit.core.model.devices import available, resolve
from segkit.core.notices import notice

PATIENCE = timedelta(days=1)
"""How long processes wait for each other: one of them validates while the others wait. A dead one is told by whoever
started them, which ends the others at once."""


class LostError(TrainingError):
    """The others are gone: one of them had a reason, which it tells."""


def is_lost(error: BaseException) -> bool:
    """Whether an error of torch says that other processes cannot be reached any more."""
    words = str(error)
    lost = any(each in words for each in ("Connection closed by peer", "Connection reset by peer", "NCCL", "gloo"))
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and lost)


class Processes:
    """One of the processes of a training, numbered from 0; 0 writes.

    Attributes:
        rank: its number.
        world: how many there are.
        device: where it computes.
    """

    def __init__(self, rank: int, world: int, device: torch.device) -> None:
        """Use `joined`."""
        self.rank, self.world, self.device = rank, world, device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def over_all(self, sums: Tensor) -> Tensor:
        """The sums (K,) over all processes."""
        if self.world > 1:
            distributed.all_reduce(sums)
        return sums

    def told(self, value: Any) -> Any:
        """What the first process says, in every process."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def leave(self) -> None:
        """Do without the others from now on."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def several(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started as one of several (by torchrun, or by us)."""
    return int(environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in environ


def joined(devices: tuple[str, ...] | None, environ: Mapping[str, str] = os.environ) -> Processes:
    """Join the processes that were started together, if any.

    Args:
        devices: names of torch's devices, one a process of this machine, or one for all; None: a GPU each if there are
            enough, else the CPU.
        environ: what torchrun tells.

    Raises:
        OptionError: a device that is not there, or fewer devices than processes.
    """
    if not several(environ):
        return Processes(0, 1, resolve((devices or (_best(),))[0]))
    rank, world = int(environ["RANK"]), int(environ["WORLD_SIZE"])
    local, count = int(environ.get("LOCAL_RANK", rank)), int(environ.get("LOCAL_WORLD_SIZE", world))
    device = resolve(_of(devices, local, count))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return Processes(rank, world, device)


def _of(devices: tuple[str, ...] | None, local: int, count: int) -> str:
    """The device of one of `count` processes of this machine."""
    if devices is None:
        cards = [name for name in available() if name.startswith("cuda")]
        if cards and len(cards) < count and local == 0:
            notice(f"{count} processes and {len(cards)} GPUs: training on the CPU; start as many as there are GPUs")
        return cards[local] if len(cards) >= count else "cpu"
    if len(devices) == 1 and not devices[0].startswith("cuda"):
        return devices[0]
    if len(devices) < count:
        raise OptionError.invalid(
            "device", ",".join(devices), f"{count} processes of this machine need as many devices"
        )
    return devices[local]


def _best() -> str:
    return next((name for name in available() if name.startswith(("cuda", "mps"))), "cpu")
