"""A double of the CUDA driver and of TensorRT's Python interface, for machines without a GPU.

The "GPU" is memory of this process, plans hold the ONNX file that they were built from, and onnxruntime computes. What
is queued on a stream is done when somebody waits for it, and not before, so a wait that is missing shows. The driver's
functions are called through ctypes as the real ones are; calls without a context, copies beyond what was allocated,
and memory that is used after it was freed are errors, as on a GPU.

It says nothing about whether TensorRT computes right. `test_plugin_engine` holds its names against the real classes.
"""

# ruff: noqa: N802 - the driver names its functions
from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np

INVALID, NO_CONTEXT, OUT_OF_MEMORY = 1, 201, 2
NAMES = {INVALID: b"CUDA_ERROR_INVALID_VALUE", NO_CONTEXT: b"CUDA_ERROR_INVALID_CONTEXT"}
NAMES |= {OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY", 100: b"CUDA_ERROR_NO_DEVICE"}


class Cuda:
    """The driver's library; `devices` are (name, compute capability)."""

    def __init__(self, *devices: tuple[str, tuple[int, int]], starts: int = 0, room: int = 1 << 30) -> None:
        self.devices, self.starts, self.room = devices, starts, room
        self.memory: dict[int, Any] = {}
        self.queue: list[Callable[[], None]] = []
        self.retained, self.streams, self.allocations = 0, 0, 0
        self._threads = threading.local()
        for name, types in SIGNATURES.items():
            setattr(self, name, CFUNCTYPE(c_int, *types)(getattr(self, f"_{name}")))

    @property
    def stack(self) -> list[int]:
        """Contexts of this thread."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        return self._threads.stack

    def view(self, address: int, size: int) -> Any:
        """Bytes of the "GPU"."""
        for start, block in self.memory.items():
            if start <= address and address + size <= start + len(block):
                return np.frombuffer(block, np.uint8)[address - start :][:size]
        raise AssertionError(f"{size} bytes at {address:#x} are not allocated")

    def _cuInit(self, flags: int) -> int:
        return self.starts

    def _cuGetErrorName(self, code: int, text: Any) -> int:
        text[0] = NAMES.get(code, b"CUDA_ERROR_UNKNOWN")
        return 0

    def _cuGetErrorString(self, code: int, text: Any) -> int:
        text[0] = b"in other words"
        return 0

    def _cuDeviceGetCount(self, count: Any) -> int:
        count[0] = len(self.devices)
        return 0

    def _cuDeviceGet(self, handle: Any, index: int) -> int:
        handle[0] = 100 + index
        return 0

    def _cuDeviceGetName(self, text: Any, length: int, handle: int) -> int:
        ctypes.memmove(text, self.devices[handle - 100][0].encode() + b"\0", len(self.devices[handle - 100][0]) + 1)
        return 0

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, handle: int) -> int:
        value[0] = self.devices[handle - 100][1][{75: 0, 76: 1}[attribute]]
        return 0

    def _cuDevicePrimaryCtxRetain(self, context: Any, handle: int) -> int:
        context[0] = 7000 + handle
        self.retained += 1
        return 0

    def _cuDevicePrimaryCtxRelease_v2(self, handle: int) -> int:
        self.retained -= 1
        return 0

    def _cuCtxPushCurrent_v2(self, context: int) -> int:
        self.stack.append(context)
        return 0

    def _cuCtxPopCurrent_v2(self, context: Any) -> int:
        context[0] = self.stack.pop()
        return 0

    def _cuStreamCreate(self, stream: Any, flags: int) -> int:
        stream[0] = 555
        self.streams += 1
        return 0 if self.stack else NO_CONTEXT

    def _cuStreamDestroy_v2(self, stream: int) -> int:
        self.streams -= 1
        return 0 if self.stack else NO_CONTEXT

    def _cuStreamSynchronize(self, stream: int) -> int:
        if not self.stack:
            return NO_CONTEXT
        queue, self.queue = self.queue, []
        for step in queue:
            step()
        return 0

    def _cuMemAlloc_v2(self, address: Any, size: int) -> int:
        if not self.stack:
            return NO_CONTEXT
        if size > self.room:
            return OUT_OF_MEMORY
        block = (ctypes.c_ubyte * size).from_buffer(bytearray(b"\xff" * size))
        address[0] = ctypes.addressof(block)
        self.memory[address[0]] = block
        self.allocations += 1
        return 0

    def _cuMemFree_v2(self, address: int) -> int:
        return 0 if self.memory.pop(address, None) is not None and self.stack else INVALID

    def _cuMemcpyHtoDAsync_v2(self, to: int, source: int, size: int, stream: int) -> int:
        if not self.stack:
            return NO_CONTEXT
        self.queue.append(lambda: ctypes.memmove(self.view(to, size).ctypes.data, source, size))
        return 0

    def _cuMemcpyDtoHAsync_v2(self, to: int, source: int, size: int, stream: int) -> int:
        if not self.stack:
            return NO_CONTEXT
        self.queue.append(lambda: ctypes.memmove(to, self.view(source, size).ctypes.data, size))
        return 0


SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_void_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (POINTER(c_void_p),),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
}
"""As in the driver's header."""
