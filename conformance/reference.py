"""What every backend is compared with: PyTorch in float32, on weights and pictures that need no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors
from segkit.core.images import ImageBatch, Picture, Size

if TYPE_CHECKING:
    from segkit.core.model import SegmentationNetwork

NAMES = {0: "person", 1: "रेलगाड़ी", 2: "自行车", 3: 'driver\'s "cab"', 4: "100 % {odd}: name, [ok]"}
"""Class names with everything that careless carriers break."""


def picture(size: Size, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) blocks of colour with a little noise: edges and flat areas, as in a real picture."""
    random = np.random.default_rng(seed)
    height, width = size
    blocks = random.integers(20, 236, (-(-height // 16), -(-width // 16), 3), np.uint8)
    enlarged = blocks.repeat(16, 0).repeat(16, 1)[:height, :width]
    noisy: NDArray[np.uint8] = enlarged + random.integers(0, 20, (height, width, 3), np.uint8)
    return noisy


def pictures(count: int, size: Size, seed: int = 0) -> ImageBatch:
    """`count` different pictures as network input."""
    return ImageBatch.from_u8(np.stack([picture(size, 100 * seed + number) for number in range(count)]))


def views(whole: Picture) -> list[Picture]:
    """Eight other pictures of what one picture shows: three quarters of it from each corner, also mirrored."""
    height, width = whole.shape[:2]
    tall, wide = height * 3 // 4, width * 3 // 4
    corners = [(top, left) for top in (0, height - tall) for left in (0, width - wide)]
    cut = [whole[top : top + tall, left : left + wide] for top, left in corners]
    return [*cut, *(np.ascontiguousarray(part[:, ::-1]) for part in cut)]


def seeded_weights(
    path: Path,
    *,
    scale: str = "n",
    names: Mapping[int, str] = MappingProxyType(NAMES),
    depthwise: bool = False,
    seen: int = 160,
) -> Path:
    """Write weights of a network, the same at every call, whose outputs are as lively as those of trained ones.

    Plain random weights would let every signal fade away, and all backends would agree on nothing. Here the batch
    norms have seen pictures (of `seen` pixels a side), so each layer's output has unit variance, and the class scores
    spread over 0..1.
    """
    import torch

    from segkit.core.model import SegmentationNetwork, load_config, save_network

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        config = load_config(f"yolov8{scale}-seg.yaml").with_classes(len(names))
        if depthwise:
            config = config.model_copy(update={"head": config.head.model_copy(update={"depthwise": True})})
        network = SegmentationNetwork(config, dict(names)).train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of the one batch below, not a running mean
        network(torch.from_numpy(pictures(8, (seen, seen), seed=1).f32_nchw))
        for name, parameter in network.named_parameters():
            if ".cv3." in name and name.endswith(".2.bias"):
                parameter.zero_()
            elif (".cv2." in name or ".cv3." in name) and name.endswith(".2.weight"):
                parameter.mul_(4)
        save_network(network.eval(), path)
    return path


def network_of(weights: Path) -> SegmentationNetwork:
    """The reference network, unfused."""
    from segkit.core.model import load_network

    return load_network(weights)


def fused_of(weights: Path) -> SegmentationNetwork:
    """The same as fast as PyTorch runs it: batch norms folded into the convolutions."""
    network = network_of(weights)
    network.fuse()
    return network


def outputs_of(network: SegmentationNetwork, batch: ImageBatch) -> Anchors:
    """What PyTorch computes, on the CPU in float32."""
    import torch

    with torch.inference_mode():
        output0, output1 = network(torch.from_numpy(batch.f32_nchw))
    return Anchors.from_joined(output0.numpy(), output1.numpy())
