"""Memory that processes share, and arrays in it.

It has no name that could outlive the processes: it is a file without one, which workers inherit, and goes with the
last process that has it. So nothing is left behind however a run ends, and the limit that containers put on /dev/shm
does not count. Windows has no such files; there it has a name that nobody else knows, and goes in the same way.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNED = 64
"""Bytes: arrays begin at multiples of it."""


class Block:
    """Some bytes, all zero at first, that take no memory until they are written.

    Pickled, it is the same memory in a process that was started with its `handles`.
    """

    def __init__(self, size: int) -> None:
        """Make one of at least a byte."""
        self.size = max(size, 1)
        self._handle: int | str = _new(self.size)
        self._map: mmap.mmap | None = _mapped(self._handle, self.size)

    def __getstate__(self) -> tuple[int, int | str]:
        """For a worker."""
        return self.size, self._handle

    def __setstate__(self, state: tuple[int, int | str]) -> None:
        """In a worker."""
        self.size, self._handle = state
        self._map = _mapped(self._handle, self.size)

    @property
    def handles(self) -> tuple[int, ...]:
        """File descriptors that a worker must inherit."""
        return (self._handle,) if isinstance(self._handle, int) else ()

    def array(self, kind: Any, shape: tuple[int, ...], start: int = 0) -> NDArray[Any]:
        """An array that lies in it from byte `start` on; it keeps the memory alive."""
        assert self._map is not None, "closed"
        return np.frombuffer(self._map, kind, prod(shape), start).reshape(shape)

    def close(self) -> None:
        """Give the memory back as soon as no array is left in it."""
        if isinstance(self._handle, int) and self._handle >= 0:
            os.close(self._handle)
        self._handle, self._map = -1, None

    def __del__(self) -> None:
        """Also where nobody has closed it."""
        self.close()


class Arrays:
    """Arrays by name, in one block, not to be written to. Pickled as the block is."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy them."""
        self._places: dict[str, tuple[str, tuple[int, ...], int]] = {}
        size = 0
        for name, array in arrays.items():
            self._places[name] = array.dtype.str, array.shape, size
            size += -(-array.nbytes // _ALIGNED) * _ALIGNED
        self.block = Block(size)
        for name, array in arrays.items():
            self._array(name)[...] = array

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One of them."""
        array = self._array(name)
        array.flags.writeable = False
        return array

    def _array(self, name: str) -> NDArray[Any]:
        return self.block.array(*self._places[name])


def _new(size: int) -> int | str:
    if sys.platform == "win32":
        return f"segkit-{os.getpid()}-{secrets.token_hex(8)}"
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("segkit")
    else:
        with tempfile.TemporaryFile() as file:  # has no name
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


def _mapped(handle: int | str, size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size, tagname=str(handle))
    assert isinstance(handle, int)
    return mmap.mmap(handle, size)
