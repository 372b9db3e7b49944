"""Size and cost of a network, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from segkit.core.errors import OptionError
from segkit.core.images import Size
from segkit.core.model.head import Segment
from segkit.core.model.network import SegmentationNetwork

# A multiply-accumulate counts as two operations. A batch norm that is not folded counts as 8 an output: so do the
# published figures, which are thereby comparable.
_PER_MAC = 2
_PER_NORM = 8


@dataclass(frozen=True)
class LayerSummary:
    """One row of the table.

    Attributes:
        index: number of the layer.
        source: layers it reads; negative counts back from itself.
        block: kind of layer.
        parameters: number of them.
        output: (channels, height, width); of the head: (4 + nc + masks, anchors).
        gflops: billions of operations for one picture.
    """

    index: int
    source: tuple[int, ...]
    block: str
    parameters: int
    output: tuple[int, ...]
    gflops: float


@dataclass(frozen=True)
class ModelSummary:
    """A network's table and its totals for one picture of `imgsz` (height, width)."""

    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    gflops: float
    imgsz: Size
    nc: int
    scale: str
    fused: bool


def summary(network: SegmentationNetwork, imgsz: Size = (640, 640)) -> ModelSummary:
    """Count parameters and operations; nothing is computed but sizes.

    Raises:
        OptionError: `imgsz` is no multiple of the network's stride.
    """
    if any(side < 1 or side % network.stride for side in imgsz):
        raise OptionError.invalid("imgsz", imgsz, f"both sides must be multiples of {network.stride}")
    rows = tuple(_row(network, index, imgsz) for index in range(len(network.model)))
    parameters = list(network.parameters())
    return ModelSummary(
        layers=rows,
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        gflops=sum(row.gflops for row in rows),
        imgsz=imgsz,
        nc=network.nc,
        scale=network.config.scale,
        fused=network.fused,
    )


def _row(network: SegmentationNetwork, index: int, imgsz: Size) -> LayerSummary:
    config, layer = network.config, network.model[index]
    output: tuple[int, ...]
    if isinstance(layer, Segment):
        cells = [imgsz[0] // stride * (imgsz[1] // stride) for stride in layer.strides]
        block, source = "Segment", config.head.source
        output = (4 + config.nc + config.head.masks, sum(cells))
        operations = _head_operations(layer, cells)
    else:
        block, source = config.layers[index].block, config.layers[index].source
        channels, stride = config.outputs[index]
        output = (channels, int(imgsz[0] / stride), int(imgsz[1] / stride))
        operations = _operations(layer, output[1] * output[2])
    parameters = sum(parameter.numel() for parameter in layer.parameters())
    return LayerSummary(index, source, block, parameters, output, operations / 1e9)


def _operations(module: nn.Module, cells: int) -> int:
    """Of convolutions and batch norms with `cells` cells in the output (of a transposed convolution: in the input)."""
    total = 0
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            total += _PER_MAC * part.weight.numel() * cells
        elif isinstance(part, nn.BatchNorm2d):
            total += _PER_NORM * part.num_features * cells
    return total


def _head_operations(head: Segment, cells: list[int]) -> int:
    total = _PER_MAC * 4 * head.dfl.bins * sum(cells)
    for branches in (head.cv2, head.cv3, head.cv4):
        total += sum(_operations(branch, count) for branch, count in zip(branches, cells, strict=True))
    coarse, fine = cells[0], 4 * cells[0]  # prototypes are made at twice the resolution of the finest level
    for part, count in (
        (head.proto.cv1, coarse),
        (head.proto.upsample, coarse),
        (head.proto.cv2, fine),
        (head.proto.cv3, fine),
    ):
        total += _operations(part, count)
    return total
