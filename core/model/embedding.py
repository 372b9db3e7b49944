"""Feature vectors of pictures: what the network knows about a picture as a whole."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.core.errors import OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.core.model.devices import exact, resolve
from segkit.core.model.network import SegmentationNetwork


class Embedder:
    """Means of feature maps, by a copy of the network on a device. Safe to call from several threads."""

    def __init__(self, network: SegmentationNetwork, device: str = "cpu") -> None:
        """Copy `network`, fused, to `device`.

        Raises:
            OptionError: there is no such device here.
            RuntimeFailure: the device refuses, e.g. for lack of memory.
        """
        self._device = resolve(device)
        try:
            self._network = copy.deepcopy(network).fuse().to(self._device)
        except RuntimeError as error:
            raise _failure(error) from error

    def layers(self, given: Sequence[int] | None) -> tuple[int, ...]:
        """Numbers of layers, counted from 0; negative ones count back from the head, which is the last layer.

        None is the last layer before the head: its map is the most abstract one, at the coarsest stride.

        Raises:
            OptionError: no such layer, or the head, which has no feature map.
        """
        count = len(self._network.config.layers)
        try:
            chosen = (count - 1,) if given is None else tuple(map(operator.index, given))
        except TypeError:
            chosen = ()
        if not chosen:
            raise OptionError.invalid("layers", given, "give numbers of layers in a list, e.g. [15, 18, 21]")
        numbers = tuple(layer + count + 1 if layer < 0 else layer for layer in chosen)
        for layer, number in zip(chosen, numbers, strict=True):
            if not 0 <= number < count:
                raise OptionError.invalid("layers", layer, f"the layers before the head are 0 to {count - 1}")
        return numbers

    def vectors(self, batch: ImageBatch, layers: tuple[int, ...]) -> NDArray[np.float32]:
        """(B, D) float32: the mean of every channel over the map of each layer, in the order of `layers`.

        Args:
            batch: network input, both sides multiples of the network's stride; its border counts like the rest.
            layers: as `layers` gives them.

        Raises:
            OptionError: the size is no multiple of the network's stride.
            RuntimeFailure: torch failed, e.g. for lack of memory.
        """
        stride = self._network.stride
        if any(side % stride for side in batch.size):
            raise OptionError.invalid("imgsz", batch.size, f"both sides must be multiples of {stride}")
        try:
            with torch.inference_mode(), exact(self._device, torch.float32):
                images = torch.tensor(batch.f32_nchw).to(self._device, memory_format=torch.channels_last)
                maps = feature_maps(self._network, images, frozenset(layers))
                joined = torch.cat([maps[layer].mean((2, 3)) for layer in layers], 1)
                vectors: NDArray[np.float32] = joined.cpu().numpy()
        except RuntimeError as error:
            raise _failure(error) from error
        return vectors


def feature_maps(network: SegmentationNetwork, images: Tensor, wanted: frozenset[int]) -> dict[int, Tensor]:
    """Outputs (B, channels, H/stride, W/stride) of some layers before the head; nothing after the last is computed.

    Args:
        network: in eval mode.
        images: (B, 3, H, W) RGB 0..1; H and W multiples of the network's stride.
        wanted: numbers of layers.
    """
    config, last = network.config, max(wanted)
    needed = wanted | {s for index in range(last + 1) for s in config.sources(index) if s != index - 1}
    kept: dict[int, Tensor] = {-1: images}
    x = images
    for index in range(last + 1):
        read = [x if source == index - 1 else kept[source] for source in config.sources(index)]
        x = network.model[index](read if config.layers[index].block == "Concat" else read[0])
        if index in needed:
            kept[index] = x
    return {index: kept[index] for index in wanted}


def _failure(error: RuntimeError) -> RuntimeFailure:
    return RuntimeFailure("torch", (str(error).strip().splitlines() or [type(error).__name__])[0][:200])
