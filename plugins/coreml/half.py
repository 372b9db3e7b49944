"""Half precision: the network's layers compute in float16, its arithmetic on pixels stays in float32.

Outputs stay float32. A coordinate of 600 in float16 is rounded to half a pixel; what stands behind the last layers
(distances, boxes, sigmoid, joining) costs next to nothing and keeps float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from segkit.core.errors import ExportError

LAYERS = {"conv", "conv_transpose"}
LARGEST = torch.finfo(torch.float16).max


class InHalf:
    """Says of each operation of a program whether it is to compute in float16."""

    def __init__(self) -> None:
        """It looks at the program when it is asked for the first time, before anything has been changed."""
        self._behind: set[str] | None = None

    def __call__(self, operation: Any) -> bool:
        """Whether `operation` (of coremltools' program) belongs to the layers."""
        if self._behind is None:
            self._behind = tail(operation.enclosing_block)
        return operation.name not in self._behind


def tail(block: Any) -> set[str]:
    """Names of the operations behind the last layers.

    Those are reached from the end without passing a convolution that has a bias: every layer of a fused network has
    one, the fixed projection inside the box arithmetic has none.
    """
    found: set[str] = set()
    ahead = [value.op for value in block.outputs]
    while ahead:
        operation = ahead.pop()
        if operation is None or operation.name in found:
            continue
        if operation.op_type in LAYERS and operation.inputs.get("bias") is not None:
            continue
        found.add(operation.name)
        ahead += [value.op for value in _inputs(operation)]
    return found


def _inputs(operation: Any) -> Iterator[Any]:
    for value in operation.inputs.values():
        yield from value if isinstance(value, list | tuple) else [] if value is None else [value]


def check_range(module: nn.Module) -> None:
    """Refuse weights that float16 cannot hold.

    Raises:
        ExportError: one is too large; it is named.
    """
    for name, weight in module.named_parameters():
        if weight.abs().max() > LARGEST:
            raise ExportError(
                "coreml",
                f"weights of '{name.removeprefix('network.')}' exceed half precision (65504), which half and int8 "
                "compute in; export without them",
            )
