"""A double of the CUDA driver and of TensorRT's Python interface, for machines without a GPU.

The "GPU" is memory of this process, plans hold the ONNX file that they were built from, and onnxruntime computes. What
is queued on a stream is done when somebody waits for it, and not before, so a wait that is missing shows. Calls without
a context, copies beyond what was allocated or of memory that is not page-locked, and memory that is used after it was
freed are errors.

It says nothing about whether TensorRT computes right. `test_plugin_engine` holds its names against the real ones.
"""

# ruff: noqa: N801, N802 - CUDA has its own way of naming
from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class CUdevice_attribute(IntEnum):
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class CUstream_flags(IntEnum):
    CU_STREAM_NON_BLOCKING = 1


DONE = CUresult.CUDA_SUCCESS


class Cuda:
    """`cuda.bindings.driver`; `devices` are (name, compute capability). Functions in `failing` say that they failed."""

    CUdevice_attribute, CUstream_flags = CUdevice_attribute, CUstream_flags

    def __init__(self, *devices: tuple[str, tuple[int, int]], starts: int = 0, room: int = 1 << 30) -> None:
        self.devices, self.starts, self.room = devices, CUresult(starts), room
        self.failing: set[str] = set()
        self.memory: dict[int, Any] = {}
        self.locked: dict[int, Any] = {}
        self.queue: list[Callable[[], None]] = []
        self.retained, self.streams, self.allocations = 0, 0, 0
        self.ended: list[tuple[str, bool]] = []
        self._threads = threading.local()

    @property
    def stack(self) -> list[int]:
        """Contexts of this thread."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        return self._threads.stack

    @property
    def left(self) -> tuple[Any, ...]:
        """What has not been given back: ({}, {}, 0, 0, []) where all has."""
        return self.memory, self.locked, self.retained, self.streams, self.stack

    def view(self, address: int, size: int) -> Any:
        """Bytes of the "GPU"."""
        return _within(self.memory, address, size)

    def copy(self, to: Callable[[], Any], source: Callable[[], Any]) -> tuple[CUresult]:
        """Queue a copy between bytes that are looked up when it is done."""
        if not self.stack:
            return (CUresult.CUDA_ERROR_INVALID_CONTEXT,)
        self.queue.append(lambda: np.copyto(to(), source()))
        return (DONE,)

    def _said(self, function: str) -> CUresult:
        if function in self.failing:
            return CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
        return DONE if self.stack else CUresult.CUDA_ERROR_INVALID_CONTEXT

    def cuInit(self, flags: int) -> tuple[CUresult]:
        return (self.starts,)

    def cuGetErrorName(self, code: CUresult) -> tuple[CUresult, bytes]:
        return DONE, code.name.encode()

    def cuGetErrorString(self, code: CUresult) -> tuple[CUresult, bytes]:
        return DONE, b"in other words"

    def cuDeviceGetCount(self) -> tuple[CUresult, int]:
        return DONE, len(self.devices)

    def cuDeviceGet(self, index: int) -> tuple[CUresult, int]:
        return DONE, 100 + index

    def cuDeviceGetName(self, length: int, handle: int) -> tuple[CUresult, bytes]:
        return DONE, (self.devices[handle - 100][0].encode() + b"\0").ljust(length)

    def cuDeviceGetAttribute(self, attribute: CUdevice_attribute, handle: int) -> tuple[CUresult, int]:
        return DONE, self.devices[handle - 100][1][attribute - 75]

    def cuDevicePrimaryCtxRetain(self, handle: int) -> tuple[CUresult, int]:
        self.retained += 1
        return DONE, 7000 + handle

    def cuDevicePrimaryCtxRelease(self, handle: int) -> tuple[CUresult]:
        self.retained -= 1
        return (DONE,)

    def cuCtxPushCurrent(self, context: int) -> tuple[CUresult]:
        self.stack.append(context)
        return (DONE,)

    def cuCtxPopCurrent(self) -> tuple[CUresult, int]:
        return DONE, self.stack.pop()

    def cuStreamCreate(self, flags: int) -> tuple[CUresult, int]:
        if said := self._said("cuStreamCreate"):
            return said, 0
        self.streams += 1
        return DONE, 555

    def cuStreamDestroy(self, stream: int) -> tuple[CUresult]:
        self.streams -= 1
        return (self._said("cuStreamDestroy"),)

    def cuStreamSynchronize(self, stream: int) -> tuple[CUresult]:
        if said := self._said("cuStreamSynchronize"):
            return (said,)
        queue, self.queue = self.queue, []
        for step in queue:
            step()
        return (DONE,)

    def cuMemAlloc(self, size: int) -> tuple[CUresult, int]:
        return self._allocate("cuMemAlloc", self.memory, size)

    def cuMemAllocHost(self, size: int) -> tuple[CUresult, int]:
        return self._allocate("cuMemAllocHost", self.locked, size)

    def _allocate(self, function: str, held: dict[int, Any], size: int) -> tuple[CUresult, int]:
        if said := self._said(function):
            return said, 0
        if size > self.room:
            return CUresult.CUDA_ERROR_OUT_OF_MEMORY, 0
        block = (ctypes.c_ubyte * size).from_buffer(bytearray(b"\xff" * size))
        held[ctypes.addressof(block)] = block
        self.allocations += 1
        return DONE, ctypes.addressof(block)

    def cuMemFree(self, address: int) -> tuple[CUresult]:
        return self._free("cuMemFree", self.memory, address)

    def cuMemFreeHost(self, address: int) -> tuple[CUresult]:
        return self._free("cuMemFreeHost", self.locked, address)

    def _free(self, function: str, held: dict[int, Any], address: int) -> tuple[CUresult]:
        if said := self._said(function):
            return (said,)
        return (DONE if held.pop(address, None) is not None else CUresult.CUDA_ERROR_INVALID_VALUE,)

    def cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> tuple[CUresult]:
        return self.copy(lambda: self.view(to, size), lambda: _within(self.locked, source, size))

    def cuMemcpyDtoHAsync(self, to: int, source: int, size: int, stream: int) -> tuple[CUresult]:
        return self.copy(lambda: _within(self.locked, to, size), lambda: self.view(source, size))


def _within(memory: dict[int, Any], address: int, size: int) -> Any:
    for start, block in memory.items():
        if start <= address and address + size <= start + len(block):
            return np.frombuffer(block, np.uint8)[address - start :][:size]
    raise AssertionError(f"{size} bytes at {address:#x} are not allocated, or not where they should be")
