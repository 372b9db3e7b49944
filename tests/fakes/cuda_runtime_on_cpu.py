"""The part of `cuda.bindings.runtime` that docs/deploy/engine.md uses, on the double of the driver."""

# ruff: noqa: N801, N802, N815 - CUDA has its own way of naming
from __future__ import annotations

from ctypes import byref, c_size_t, c_uint, c_uint64, c_void_p
from enum import IntEnum

import tensorrt_on_cpu
from cuda_on_cpu import Cuda

_cuda = tensorrt_on_cpu.cuda = Cuda(("NVIDIA Pretend", (8, 9)))
_cuda.stack.append(7100)  # the runtime makes the primary context current by itself


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


def cudaStreamCreate() -> tuple[int, int]:
    stream = c_void_p()
    return _cuda.cuStreamCreate(byref(stream), c_uint(0)), stream.value or 0


def cudaStreamSynchronize(stream: int) -> tuple[int]:
    return (_cuda.cuStreamSynchronize(c_void_p(stream)),)


def cudaMalloc(size: int) -> tuple[int, int]:
    address = c_uint64()
    return _cuda.cuMemAlloc_v2(byref(address), c_size_t(size)), address.value


def cudaMemcpyAsync(to: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:
    if kind == cudaMemcpyKind.cudaMemcpyHostToDevice:
        return (_cuda.cuMemcpyHtoDAsync_v2(c_uint64(to), c_void_p(source), c_size_t(size), c_void_p(stream)),)
    return (_cuda.cuMemcpyDtoHAsync_v2(c_void_p(to), c_uint64(source), c_size_t(size), c_void_p(stream)),)
