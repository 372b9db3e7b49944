"""Half precision: weights are stored in float16; biases, constants and all arithmetic stay in float32."""

from __future__ import annotations

import numpy as np

from segkit.core.errors import ExportError
from segkit.plugins.ncnn.graph import Graph
from segkit.plugins.ncnn.weights import locate, numbers, packed


def to_half(graph: Graph, weights: bytes) -> bytes:
    """The weights with those of layers in float16.

    Raises:
        ExportError: a weight is too large for float16.
    """
    parts = []
    for stored in locate(graph, weights)[0]:
        values = numbers(stored, weights)
        if stored.block.tagged:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
            if not np.isfinite(values).all():
                name = stored.block.layer.name
                raise ExportError("ncnn", f"weights of '{name}' exceed half precision (65504); export without half")
        parts.append(packed(values, tagged=stored.block.tagged))
    return b"".join(parts)
