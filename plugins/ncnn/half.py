"""Half precision: weights are stored in float16; biases, constants and all arithmetic stay in float32."""

from __future__ import annotations

import numpy as np

from segkit.plugins.ncnn.graph import Graph
from segkit.plugins.ncnn.weights import locate, numbers, packed

LARGEST = 65504.0
"""The largest number of float16."""


def to_half(graph: Graph, weights: bytes) -> bytes:
    """The weights with those of layers in float16, where none is larger than that can hold."""
    parts = []
    for stored in locate(graph, weights)[0]:
        values, tagged = numbers(stored, weights), stored.block.tagged
        parts.append(packed(values.astype(np.float16) if tagged else values, tagged=tagged))
    return b"".join(parts)
