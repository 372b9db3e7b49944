"""`weight.bin`: the tensors of a package that are too long to stand in its program.

The file begins with 64 bytes: the number of tensors and the version of the layout (2). A tensor is named by the place
of its record, 64 bytes as well: a mark, its type, its length in bytes, and the place of its numbers.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK = 0xDEADBEEF
VERSION = 2
PLACE = "@model_path/"
_RECORD = struct.Struct("<IIQQ")
_LENGTHS = {"bool": 8, "float16": 16, "float32": 32, "float64": 64, "int8": 8, "int16": 16, "int32": 32, "int64": 64}
_LENGTHS |= {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "int4": 4}
_LENGTHS |= {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}


class Weights:
    """The files of weights beside a model, each read once."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the model's own file."""
        self._folder = folder
        self._files: dict[str, bytes] = {}

    def tensor(self, file: str, offset: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """One tensor: read-only, of the file's own bytes.

        Raises:
            OSError: the file cannot be read.
            ValueError: the tensor is not there, or has another length than it should.
        """
        data = self._read(file)
        name = Path(file).name
        if offset < 0 or offset + _RECORD.size > len(data):
            raise ValueError(f"{name} ends before the tensor at byte {offset} (an interrupted download?)")
        mark, _, length, start = _RECORD.unpack_from(data, offset)
        if mark != MARK:
            raise ValueError(f"{name} has no tensor at byte {offset}")
        wanted = stored(dtype, shape)
        if length != wanted:
            raise ValueError(f"{name} has {length} bytes at byte {offset} for a tensor of {wanted}")
        if start + length > len(data):
            raise ValueError(f"{name} ends within the tensor at byte {offset} (an interrupted download?)")
        count = int(np.prod(shape))
        array = unpacked(memoryview(data)[start : start + length], dtype, count).reshape(shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are none in the tensor at byte {offset}")
        return array

    def _read(self, file: str) -> bytes:
        if file not in self._files:
            inner = Path(file.removeprefix(PLACE))
            if not file.startswith(PLACE) or inner.is_absolute() or ".." in inner.parts:
                raise ValueError(f"its weights are said to be in '{file}', outside of the package: a hostile file?")
            data = (self._folder / inner).read_bytes()
            if len(data) < 64 or struct.unpack_from("<I", data, 4)[0] != VERSION:
                raise ValueError(f"{inner.name} is no file of weights, or is cut off")
            self._files[file] = data
        return self._files[file]


def stored(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor takes.

    Raises:
        ValueError: it is of an unknown type.
    """
    if dtype not in _LENGTHS:
        raise ValueError(f"a tensor of {dtype or 'no type'}")
    count = 1
    for side in shape:  # whole numbers of Python: no product is too large
        count *= side
    return (count * _LENGTHS[dtype] + 7) // 8


def unpacked(data: bytes | memoryview, dtype: str, count: int) -> NDArray[Any]:
    """Numbers from bytes, lowest bits first; those of less than eight bits are held in bytes.

    Raises:
        ValueError: there are more or fewer than `count`.
    """
    if len(data) != stored(dtype, (count,)):
        raise ValueError(f"{len(data)} bytes for {count} numbers of {dtype}")
    bits = _LENGTHS[dtype]
    if bits >= 8:
        return np.frombuffer(data, dtype)
    each = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder="little").reshape(count, bits)
    values = np.zeros(count, np.uint8)
    for place in range(bits):
        values |= each[:, place] << place
    if dtype != "int4":
        return values
    return (values.astype(np.int8) ^ 8) - 8
