"""The largest batch that a share of a GPU's memory holds, by measuring a few small ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segkit.core.images.size import Size
from segkit.core.model.network import SegmentationNetwork
from segkit.core.notices import notice, size_of
from segkit.core.training import memory
from segkit.core.training.loss import SegmentationLoss
from segkit.core.training.precision import Mixed
from segkit.core.training.targets import RATIO, Targets

SHARE = 0.6
"""Of the memory, where the user leaves it to us (-1)."""

TRIED = (1, 2, 4, 8, 16)
USUAL = 16
"""Where there is no GPU to fill."""

OBJECTS = 20
"""In a picture, about as a mosaic has them."""

MOST = 1024


def fitting_batch(network: SegmentationNetwork, imgsz: Size, mixed: Mixed, device: torch.device, share: float) -> int:
    """Pictures in a batch that take about `share` of the memory of `device` (-1: a usual share) in training.

    On anything but a CUDA device, whose memory can be asked, it is the usual number, and that is said.
    """
    if device.type != "cuda":
        notice(f"batch={share:g} measures a GPU's memory; on {device.type} the batch is {USUAL}")
        return USUAL
    share = SHARE if share < 0 else share
    total = torch.cuda.get_device_properties(device).total_memory
    used = [_peak(network, imgsz, mixed, device, count) for count in TRIED]
    found = chosen(TRIED, used, share * total)
    notice(f"batch={found}: about {share:.0%} of {size_of(total)} of memory")
    return found


def chosen(counts: Sequence[int], used: Sequence[int | None], room: float) -> int:
    """The batch that takes `room` bytes, from what smaller ones took; None where one did not fit.

    Memory grows with the batch along a line; what it is at no picture at all is there in any case.
    """
    known = [(count, peak) for count, peak in zip(counts, used, strict=True) if peak is not None]
    if len(known) < 2:
        return known[0][0] if known else 1
    slope, base = np.polyfit([count for count, _ in known], [peak for _, peak in known], 1)
    if slope <= 0:
        return known[-1][0]
    wanted = int((room - base) / slope)
    first_failed = next((count for count, peak in zip(counts, used, strict=True) if peak is None), MOST + 1)
    return max(1, min(wanted, first_failed - 1, MOST))


def _peak(network: SegmentationNetwork, imgsz: Size, mixed: Mixed, device: torch.device, count: int) -> int | None:
    """Bytes that a step with so many pictures takes; None if it does not fit."""
    memory.give_back()
    torch.cuda.reset_peak_memory_stats(device)
    try:
        _step(network, imgsz, mixed, device, count)
        return int(torch.cuda.max_memory_reserved(device))
    except RuntimeError as error:
        if not memory.is_short(error):
            raise
        return None
    finally:
        network.zero_grad(set_to_none=True)
        memory.give_back()


def _step(network: SegmentationNetwork, imgsz: Size, mixed: Mixed, device: torch.device, count: int) -> None:
    images = torch.zeros(count, 3, *imgsz, device=device)
    objects = count * OBJECTS
    owner = torch.arange(count, device=device).repeat_interleave(OBJECTS)
    targets = Targets(
        imgsz,
        owner,
        torch.zeros(objects, dtype=torch.long, device=device),
        torch.rand(objects, 4, device=device) * 0.5 + 0.1,
        torch.zeros(count, imgsz[0] // RATIO, imgsz[1] // RATIO, dtype=torch.uint8, device=device),
        overlapping=True,
    )
    with mixed.computing():
        raw = network(images)
    SegmentationLoss(tuple(network.config.strides))(raw, targets).total.backward()
