"""Numbers of a graph as the shards hold them: one after the other, in float32, in half precision, or in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.python.framework import tensor_util

from segkit.core.backend import Precision
from segkit.core.errors import ExportError

SHARD = 4 << 20
"""Bytes of a shard at most: what browsers like to keep in their caches."""

LEAST = 1024
"""Numbers below which weights stay float32: they cost nothing."""

TENDER = 0.3
"""Share of the weights that have 16 bits where 8 are asked for, the smallest layers first: a layer has one scale for
all of its channels, which small ones bear worst. It is a quarter more bytes for half of the error.
"""

_TYPES = {"float32": np.float32, "int32": np.int32, "int64": np.int32, "bool": np.bool_}
"""Types of constants → those that TensorFlow.js has."""

_LARGEST_HALF = float(np.finfo(np.float16).max)
_STEPS = 255


@dataclass(frozen=True)
class Stored:
    """A tensor in the shards: its entry in the manifest, its bytes."""

    spec: dict[str, Any]
    content: bytes


def numbers_of(node: Any) -> NDArray[Any]:
    """The numbers of a constant."""
    array: NDArray[Any] = tensor_util.MakeNdarray(node.attr["value"].tensor)
    return array


def store(node: Any, precision: Precision | None) -> Stored:
    """The numbers of a constant, in `precision` where they are weights.

    Raises:
        ExportError: TensorFlow.js has no such numbers, or half precision does not hold them.
    """
    array = numbers_of(node)
    kind = _TYPES.get(str(array.dtype))
    if kind is None:
        raise ExportError("tfjs", f"TensorFlow.js has no {array.dtype}, which '{node.name}' is")
    numbers: NDArray[Any] = np.ascontiguousarray(array, kind)
    spec = {"name": node.name, "shape": list(array.shape), "dtype": str(numbers.dtype)}
    if precision in (None, Precision.FP32) or numbers.size < LEAST:
        return Stored(spec, numbers.tobytes())
    stored, how = _half(numbers, node.name) if precision is Precision.FP16 else _eight_bits(numbers)
    return Stored(spec | {"quantization": how}, stored.tobytes())


def precisions(kernels: Mapping[str, NDArray[Any]], precision: Precision) -> dict[str, Precision]:
    """What each kernel, by its name, is stored in."""
    found = dict.fromkeys(kernels, precision)
    if precision is Precision.INT8:
        left = TENDER * sum(array.size for array in kernels.values())
        for name in sorted(kernels, key=lambda name: kernels[name].size):
            left -= kernels[name].size
            if left < 0:
                break
            if np.abs(kernels[name]).max() <= _LARGEST_HALF:
                found[name] = Precision.FP16
    return found


def shards(weights: Sequence[Stored]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of files that hold the weights in their order."""
    content = b"".join(weight.content for weight in weights)
    count = -(-len(content) // SHARD)
    for number in range(count):
        yield f"group1-shard{number + 1}of{count}.bin", content[number * SHARD : (number + 1) * SHARD]


def _half(numbers: NDArray[np.float32], name: str) -> tuple[NDArray[Any], dict[str, Any]]:
    if np.abs(numbers).max() > _LARGEST_HALF:
        raise ExportError("tfjs", f"weights '{name}' exceed half precision (65504); export without half")
    return numbers.astype(np.float16), {"dtype": "float16", "original_dtype": "float32"}


def _eight_bits(numbers: NDArray[np.float32]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Steps between the least and the greatest number. 0 is a step, so that what was pruned away stays away."""
    least, greatest = min(float(numbers.min()), 0.0), max(float(numbers.max()), 0.0)
    scale = (greatest - least) / _STEPS or 1.0
    zero = round(-least / scale)
    steps = np.clip(np.rint(numbers / np.float32(scale)) + zero, 0, _STEPS).astype(np.uint8)
    return steps, {"dtype": "uint8", "original_dtype": "float32", "min": -zero * scale, "scale": scale}
