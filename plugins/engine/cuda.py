"""The few calls of the CUDA driver that running a plan takes, through NVIDIA's cuda-bindings: a context, a stream,
memory on both sides, copies.

TensorRT, torch and others use the same context of a GPU (its primary one), so addresses and streams may be passed
between them. What is taken is given back last first, also where taking or giving back fails half-way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import MissingDependencyError, OptionError, RuntimeFailure
from segkit.plugins.engine.fitting import Device
from segkit.plugins.engine.runtimes import BINDINGS


class Driver:
    """The driver, by the functions of `cuda.bindings.driver`."""

    def __init__(self, functions: Any) -> None:
        """Start it.

        Raises:
            RuntimeFailure: there is none, or it does not start.
        """
        self.names = functions
        self.call("cuInit", 0)

    @classmethod
    def of_this_machine(cls) -> Driver:
        """The installed one.

        Raises:
            MissingDependencyError: cuda-bindings is not installed.
            RuntimeFailure: there is no driver, or it does not start.
        """
        try:
            from cuda.bindings import driver
        except ImportError:
            raise MissingDependencyError((BINDINGS,), "TensorRT on a GPU") from None
        return cls(driver)

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function; what it gives, None where that is nothing.

        Raises:
            RuntimeFailure: it says that it failed, or this driver has it not.
        """
        try:
            code, *given = getattr(self.names, function)(*arguments)
            if int(code):
                texts = (getattr(self.names, ask)(code)[1] for ask in ("cuGetErrorName", "cuGetErrorString"))
                said = ": ".join(text.decode() for text in texts if text)
                raise RuntimeFailure("engine", f"{function} gives {said or f'error {int(code)}'}")
        except RuntimeError as error:  # from the bindings: no driver, or an old one
            raise RuntimeFailure("engine", f"the NVIDIA driver cannot be called ({function}: {error})") from None
        return given[0] if given else None

    def devices(self) -> list[Device]:
        """The GPUs, in the driver's order."""
        return [self._device(index) for index in range(self.call("cuDeviceGetCount"))]

    def _device(self, index: int) -> Device:
        handle = self.call("cuDeviceGet", index)
        name = self.call("cuDeviceGetName", 256, handle).partition(b"\0")[0].decode(errors="replace")
        attributes = self.names.CUdevice_attribute
        major = self.call("cuDeviceGetAttribute", attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle)
        minor = self.call("cuDeviceGetAttribute", attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle)
        return Device(index, name.strip(), (major, minor))


class Gpu:
    """One GPU with its primary context and a stream. What touches it is called within `current()`."""

    def __init__(self, driver: Driver, device: Device) -> None:
        """Take part in its context.

        Raises:
            RuntimeFailure: the GPU does not work.
        """
        self.device = device
        self._call = driver.call
        handle = self._call("cuDeviceGet", device.index)
        with ExitStack() as undo:
            self._context = self._call("cuDevicePrimaryCtxRetain", handle)
            undo.callback(self._call, "cuDevicePrimaryCtxRelease", handle)
            with self.current():
                # It does not wait for the default stream, nor that for it.
                self._stream = self._call("cuStreamCreate", int(driver.names.CUstream_flags.CU_STREAM_NON_BLOCKING))
            undo.callback(self._end_stream)
            self._undo = undo.pop_all()

    @classmethod
    def open(cls, index: int, driver: Driver | None = None) -> Gpu:
        """The GPU of that number.

        Raises:
            OptionError: there is none; those that are there are listed.
            MissingDependencyError: cuda-bindings is not installed.
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
        return int(self._stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        """For this thread, and for others' code that runs in it."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def allocate(self, size: int) -> int:
        """The address of new memory of `size` bytes on the GPU."""
        return int(self._call("cuMemAlloc", size))

    def free(self, address: int) -> None:
        """Give memory on the GPU back."""
        self._call("cuMemFree", address)

    def allocate_host(self, size: int) -> int:
        """The address of new memory of `size` bytes on this side, page-locked: the GPU copies from and to it by itself,
        while copies of other memory go through the driver's and are waited for.
        """
        return int(self._call("cuMemAllocHost", size))

    def free_host(self, address: int) -> None:
        """Give memory on this side back."""
        self._call("cuMemFreeHost", address)

    def upload(self, buffer: Buffer, size: int) -> None:
        """Queue a copy of the first `size` bytes to the GPU; they stay as they are until `wait()`."""
        self._call("cuMemcpyHtoDAsync", buffer.device, buffer.host, size, self._stream)

    def download(self, buffer: Buffer, size: int) -> None:
        """Queue a copy of the first `size` bytes from the GPU; they are here after `wait()`."""
        self._call("cuMemcpyDtoHAsync", buffer.host, buffer.device, size, self._stream)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Leave the context; memory must have been freed, and what a runtime made in it be gone. Once is enough."""
        self._undo.close()

    def _end_stream(self) -> None:
        with self.current():
            self._call("cuStreamDestroy", self._stream)

    def __enter__(self) -> Self:
        """The GPU itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


@dataclass(frozen=True)
class Buffer:
    """A tensor's memory of `size` bytes twice: the address `device` on the GPU, and `host` here, page-locked."""

    size: int
    device: int
    host: int

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """What is here, as an array: a view of this memory, which the next run overwrites."""
        memory = memoryview((ctypes.c_ubyte * self.size).from_address(self.host))
        return np.frombuffer(memory, dtype, prod(shape)).reshape(shape)


class Buffers:
    """Buffers by the names of tensors: made when first asked for, and kept until a larger one is needed."""

    def __init__(self, gpu: Gpu) -> None:
        """None yet."""
        self._gpu = gpu
        self._held: dict[str, tuple[Buffer, ExitStack]] = {}

    def of(self, name: str, size: int) -> Buffer:
        """One of at least `size` bytes."""
        if name in self._held:
            buffer, _ = self._held[name]
            if buffer.size >= size:
                return buffer
            self._held.pop(name)[1].close()
        with ExitStack() as undo:
            device = self._gpu.allocate(size)
            undo.callback(self._gpu.free, device)
            host = self._gpu.allocate_host(size)
            undo.callback(self._gpu.free_host, host)
            buffer = Buffer(size, device, host)
            self._held[name] = buffer, undo.pop_all()
        return buffer

    def close(self) -> None:
        """Give all of it back."""
        with ExitStack() as every:
            while self._held:
                every.push(self._held.popitem()[1][1])
