"""The part of `cuda.bindings.runtime` that docs/deploy/engine.md uses, on the double of the driver."""

# ruff: noqa: N801, N802, N815 - CUDA has its own way of naming
from __future__ import annotations

from ctypes import c_ubyte
from enum import IntEnum
from typing import Any

import numpy as np
import tensorrt_on_cpu
from cuda_on_cpu import Cuda

_cuda = tensorrt_on_cpu.cuda = Cuda(("NVIDIA Pretend", (8, 9)))
_cuda.stack.append(7100)  # the runtime makes the primary context current by itself


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


def cudaStreamCreate() -> tuple[int, int]:
    return _cuda.cuStreamCreate(0)


def cudaStreamSynchronize(stream: int) -> tuple[int]:
    return _cuda.cuStreamSynchronize(stream)


def cudaMalloc(size: int) -> tuple[int, int]:
    return _cuda.cuMemAlloc(size)


def cudaMemcpyAsync(to: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:
    if kind == cudaMemcpyKind.cudaMemcpyHostToDevice:
        return _cuda.copy(lambda: _cuda.view(to, size), lambda: _here(source, size))
    return _cuda.copy(lambda: _here(to, size), lambda: _cuda.view(source, size))


def _here(address: int, size: int) -> Any:
    """Bytes of this side, page-locked or not."""
    return np.frombuffer((c_ubyte * size).from_address(address), np.uint8)
