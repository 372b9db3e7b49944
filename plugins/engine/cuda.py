"""The few calls of the CUDA driver that running a plan takes: a context, a stream, memory, copies.

The driver is a part of every machine that can run a plan, and no package has to fit its version. TensorRT, torch and
others use the same context of a GPU (its primary one), so addresses and streams may be passed between them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import OptionError, RuntimeFailure
from segkit.plugins.engine.fitting import Device

_MAJOR, _MINOR = 75, 76
"""Attributes of a device: both halves of its compute capability."""

_NON_BLOCKING = 1
"""Of a stream: it does not wait for the default one."""


class Driver:
    """The driver's library."""

    def __init__(self, library: Any) -> None:
        """Start it.

        Raises:
            RuntimeFailure: it does not start.
        """
        self._library = library
        self.call("cuInit", c_uint(0))

    @classmethod
    def of_this_machine(cls) -> Driver:
        """The installed one.

        Raises:
            RuntimeFailure: there is none, or it does not start.
        """
        name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        try:
            return cls(ctypes.CDLL(name))
        except OSError as error:
            raise RuntimeFailure("engine", f"the NVIDIA driver cannot be loaded ({error})") from None

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            RuntimeFailure: it says that it failed.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            name, text = c_char_p(), c_char_p()
            self._library.cuGetErrorName(c_int(code), byref(name))
            self._library.cuGetErrorString(c_int(code), byref(text))
            said = ": ".join(part.decode() for part in (name.value, text.value) if part)
            raise RuntimeFailure("engine", f"{function} gives {said or f'error {code}'}")

    def devices(self) -> list[Device]:
        """The GPUs, in the driver's order."""
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        return [self._device(index) for index in range(count.value)]

    def _device(self, index: int) -> Device:
        handle, major, minor, name = c_int(), c_int(), c_int(), ctypes.create_string_buffer(256)
        self.call("cuDeviceGet", byref(handle), c_int(index))
        self.call("cuDeviceGetName", name, c_int(len(name)), handle)
        self.call("cuDeviceGetAttribute", byref(major), c_int(_MAJOR), handle)
        self.call("cuDeviceGetAttribute", byref(minor), c_int(_MINOR), handle)
        return Device(index, name.value.decode(errors="replace"), (major.value, minor.value))


class Gpu:
    """One GPU with its primary context and a stream. What touches it is called within `current()`."""

    def __init__(self, driver: Driver, device: Device) -> None:
        """Take part in its context.

        Raises:
            RuntimeFailure: the GPU does not work.
        """
        self.device = device
        self._call = driver.call
        self._handle, self._context, self._stream = c_int(), c_void_p(), c_void_p()
        self._call("cuDeviceGet", byref(self._handle), c_int(device.index))
        self._call("cuDevicePrimaryCtxRetain", byref(self._context), self._handle)
        with self.current():
            self._call("cuStreamCreate", byref(self._stream), c_uint(_NON_BLOCKING))

    @classmethod
    def open(cls, index: int, driver: Driver | None = None) -> Gpu:
        """The GPU of that number.

        Raises:
            OptionError: there is none; those that are there are listed.
            RuntimeFailure: the driver or the GPU does not work.
        """
        driver = driver or Driver.of_this_machine()
        devices = driver.devices()
        if index >= len(devices):
            listed = ", ".join(f"cuda:{device.index} {device}" for device in devices) or "none"
            raise OptionError.invalid("device", f"cuda:{index}", f"the GPUs here are {listed}")
        return cls(driver, devices[index])

    @property
    def stream(self) -> int:
        """Its handle, as runtimes take it."""
        return self._stream.value or 0

    @contextmanager
    def current(self) -> Iterator[None]:
        """For this thread, and for others' code that runs in it."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", byref(c_void_p()))

    def allocate(self, size: int) -> int:
        """The address of new memory of `size` bytes on the GPU."""
        address = c_uint64()
        self._call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        """Give memory back."""
        self._call("cuMemFree_v2", c_uint64(address))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a C-contiguous array, which must stay until `wait()`."""
        self._call("cuMemcpyHtoDAsync_v2", c_uint64(address), _pointer(array), c_size_t(array.nbytes), self._stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy into a C-contiguous array, which holds it after `wait()`."""
        self._call("cuMemcpyDtoHAsync_v2", _pointer(array), c_uint64(address), c_size_t(array.nbytes), self._stream)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Leave the context; memory must have been freed."""
        with self.current():
            self._call("cuStreamDestroy_v2", self._stream)
        self._call("cuDevicePrimaryCtxRelease_v2", self._handle)

    def __enter__(self) -> Self:
        """The GPU itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class Buffers:
    """Memory on a GPU, one piece a tensor: made when first asked for, and kept until a larger one is needed."""

    def __init__(self, gpu: Gpu) -> None:
        """None yet."""
        self._gpu = gpu
        self._held: dict[str, tuple[int, int]] = {}

    def of(self, name: str, size: int) -> int:
        """The address of at least `size` bytes."""
        address, capacity = self._held.get(name, (0, 0))
        if capacity < size:
            if address:
                del self._held[name]
                self._gpu.free(address)
            address = self._gpu.allocate(size)
            self._held[name] = (address, size)
        return address

    def close(self) -> None:
        """Give all of it back."""
        while self._held:
            self._gpu.free(self._held.popitem()[1][0])


def _pointer(array: NDArray[Any]) -> c_void_p:
    assert array.flags.c_contiguous
    return c_void_p(np.ascontiguousarray(array).ctypes.data)
