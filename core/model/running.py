"""Runs a network with PyTorch as a predictor does: the reference for every other backend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from segkit.core.backend.base import Anchors, Predictor
from segkit.core.backend.options import Precision
from segkit.core.errors import OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.core.model.devices import exact


class Network(Protocol):
    """What is run: a module that decodes pictures into boxes, scores, coefficients and prototypes."""

    def to(self, *args: Any, **kwargs: Any) -> Network:
        """As `torch.nn.Module.to`."""

    def decode(self, images: Tensor) -> Iterable[Tensor]:
        """(B, 3, H, W) → the tensors of `Anchors`, float32."""


class NetworkPredictor(Predictor):
    """A network in inference mode; safe to call from several threads, every output is an array of its own."""

    def __init__(
        self,
        network: Network,
        stride: int,
        device: torch.device,
        precision: Precision = Precision.FP32,
        threads: int | None = None,
    ) -> None:
        """Move `network` to `device`, in half precision for FP16; `stride` divides both sides of an input.

        Raises:
            RuntimeFailure: the device refuses, e.g. for lack of memory.
        """
        self._stride, self._device = stride, device
        self._type = torch.float16 if precision is Precision.FP16 else torch.float32
        if threads:
            torch.set_num_threads(threads)  # torch knows one number for the whole process
        with _failures():
            # The order that convolution kernels are fastest in: on a CPU it saves two fifths of the time.
            self._network = network.to(device, self._type, memory_format=torch.channels_last)

    def run(self, batch: ImageBatch) -> Anchors:
        """Compute; any number of pictures of any size that is a multiple of the stride.

        Raises:
            OptionError: the size is no multiple of the network's stride.
            RuntimeFailure: torch failed, e.g. for lack of memory.
        """
        if any(side % self._stride for side in batch.size):
            raise OptionError.invalid("imgsz", batch.size, f"both sides must be multiples of {self._stride}")
        return self._compute(batch.f32_nchw)

    def warm_up(self) -> None:
        """One run on a black picture: kernels are chosen and memory is laid out."""
        self._compute(np.zeros((1, 3, 640, 640), np.float32))

    def close(self) -> None:
        """Free the weights."""
        del self._network

    def _compute(self, pictures: Any) -> Anchors:
        if not pictures.flags.writeable:  # torch warns about arrays that it could write to and must not
            pictures = pictures.copy()
        with _failures(), torch.inference_mode(), exact(self._device, self._type):
            images = torch.from_numpy(pictures).to(self._device, self._type, memory_format=torch.channels_last)
            return Anchors(*(output.cpu().numpy() for output in self._network.decode(images)))


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Torch's own errors as a RuntimeFailure with their first line."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeFailure("torch", first[:200]) from error
