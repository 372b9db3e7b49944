"""The weights of a network as ncnn's .bin holds them: one block after the other, in the order of the layers.

Nothing in the file names a block or says how long it is; the graph does. Two kinds of blocks are known: plain ones are
float32; of the others a tag in front says how the numbers are stored.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.plugins.ncnn.graph import ANY, CONVOLUTIONS, Graph, Layer

FLOAT32, FLOAT16, INT8 = 0x00000000, 0x01306B47, 0x000D4B38
TAGS = {FLOAT32: "float32", FLOAT16: "float16", INT8: "int8", 0x0002C056: "float32"}
"""Tag → how the numbers are stored."""

Data = bytes | mmap.mmap

WIDTHS = {"float32": 4, "float16": 2, "int8": 1}

WEIGHTLESS = frozenset(
    {
        *("Input", "Split", "Concat", "Slice", "Crop", "Reshape", "Permute"),
        *("Flatten", "Squeeze", "ExpandDims", "Reorg", "PixelShuffle", "ShuffleChannel", "Tile"),
        *("BinaryOp", "UnaryOp", "Eltwise", "Reduction", "CumulativeSum", "Clip", "Cast"),
        *("Noop", "Dropout", "Padding", "Pooling", "Interp", "Softmax", "Swish"),
        *("Sigmoid", "ReLU", "TanH", "ELU", "SELU", "GELU", "HardSwish"),
        *("HardSigmoid", "Mish", "CopyTo", "MatMul", "Power", "Exp", "Log"),
        "AbsVal",
    }
)
"""Types of layers that have no block in the file."""


class Block(NamedTuple):
    """Numbers of one layer: how many, and whether a tag stands in front."""

    layer: Layer
    length: int
    tagged: bool


@dataclass(frozen=True)
class Stored:
    """A block as it lies in a file: where its numbers begin, and how they are stored."""

    block: Block
    start: int
    kind: str


def blocks(graph: Graph) -> Iterator[Block | None]:
    """The blocks that a graph needs, in order; None at a layer whose type is not known here, after which nothing is.

    Raises:
        ValueError: a layer has impossible numbers.
    """
    for layer in graph.layers:
        found = _of(layer)
        if found is None:
            yield None
            return
        for count, tagged in found:
            if count < 0:
                raise ValueError(f"{layer.type} '{layer.name}' has impossible sizes")
            yield Block(layer, count, tagged)


def _of(layer: Layer) -> list[tuple[int, bool]] | None:
    """(numbers, tagged) of a layer's blocks."""
    if layer.type in WEIGHTLESS:
        return []
    if layer.type in CONVOLUTIONS and not layer.number(19):  # else its weights are an input
        outputs, scales = layer.number(0), layer.number(8)
        found = [(layer.number(6), True)] + ([(outputs, False)] if layer.number(5) else [])
        if not scales:
            return found
        grouped = layer.number(7, 1) if layer.type.endswith("DepthWise") else outputs
        each = grouped if scales in (1, 101) or not layer.type.endswith("DepthWise") else 1
        return found + [(each, False), (1, False)] + ([(1, False)] if scales > 100 else [])
    if layer.type == "InnerProduct":
        outputs = layer.number(0)
        found = [(layer.number(2), True)] + ([(outputs, False)] if layer.number(1) else [])
        return found + ([(outputs, False), (1, False)] if layer.number(8) else [])
    if layer.type == "MemoryData":
        count = 1
        for key in (0, 1, 11, 2):
            count *= max(layer.number(key), 0) or 1
        return [(count, layer.number(21, 1) == 0)]
    if layer.type == "BatchNorm":
        return [(layer.number(0), False)] * 4
    if layer.type == "Scale" and layer.number(0) != ANY:
        return [(layer.number(0), False)] * (2 if layer.number(1) else 1)
    if layer.type in ("Bias", "PReLU"):
        return [(layer.number(0), False)]
    return None


def locate(graph: Graph, data: Data) -> tuple[list[Stored], bool]:
    """Where every block lies, and whether that is all of them: False where a type of layer is not known here.

    Raises:
        ValueError: the data are shorter or longer than the graph needs, or a tag makes no sense.
    """
    found: list[Stored] = []
    at = 0
    for block in blocks(graph):
        if block is None:
            return found, False
        kind = "float32"
        if block.tagged:
            tag = int.from_bytes(data[at : at + 4], "little")
            at += 4
            if tag not in TAGS or at > len(data):
                raise ValueError(_ends_early(block, len(data)) if at > len(data) else _no_tag(block))
            kind = TAGS[tag]
        found.append(Stored(block, at, kind))
        at += -(-block.length * WIDTHS[kind] // 4) * 4  # filled up to whole words
        if at > len(data):
            raise ValueError(_ends_early(block, len(data)))
    if at < len(data):
        raise ValueError(f"it has {len(data) - at:,} bytes more than its graph needs")
    return found, True


def numbers(stored: Stored, data: Data) -> NDArray[np.generic]:
    """The numbers of a block, as they are stored."""
    return np.frombuffer(data, np.dtype(stored.kind).newbyteorder("<"), stored.block.length, stored.start)


def packed(values: NDArray[np.generic], *, tagged: bool) -> bytes:
    """A block of float32, float16 or int8."""
    tag = {"float32": FLOAT32, "float16": FLOAT16, "int8": INT8}[values.dtype.name]
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return (tag.to_bytes(4, "little") if tagged else b"") + content + bytes(-len(content) % 4)


def _ends_early(block: Block, length: int) -> str:
    return f"it ends after {length:,} bytes, before the weights of '{block.layer.name}' do"


def _no_tag(block: Block) -> str:
    return f"the weights of '{block.layer.name}' begin with what is no kind of number"
