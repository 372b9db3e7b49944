"""The numbers of a weights file as tensors, verified against what the file really holds. torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from segkit.core.errors import ModelFileError
from segkit.core.model.archive import Archive
from segkit.core.model.pickles import StorageRef, TensorRef

NOT_FINITE = "the training diverged or the file is damaged"

_DTYPES = {
    "HalfStorage": torch.float16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_archive_tensors(path: Path, refs: Mapping[str, TensorRef]) -> dict[str, Tensor]:
    """Tensors of a `.pt` file in the type they were stored in, contiguous, each with memory of its own.

    Raises:
        ModelFileError: a tensor claims more than the file holds, or has an unknown type.
    """
    with closing(Archive(path)) as archive:
        blocks = _Blocks(path, archive)
        return {name: blocks.tensor(name, ref) for name, ref in refs.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file in the type they were stored in.

    Raises:
        ModelFileError: the file is damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(path, f"it is a damaged safetensors file ({' '.join(str(error).split())[:160]})") from None


def first_not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Name of the first tensor that holds NaN or infinity."""
    for name, tensor in state.items():
        # One pass without a temporary: NaN reaches both ends, infinity is an end.
        if tensor.is_floating_point() and tensor.numel() and not torch.isfinite(torch.stack(tensor.aminmax())).all():
            return name
    return None


class _Blocks:
    """Blocks of numbers that are read once, and how much of each is not yet claimed by a tensor."""

    def __init__(self, path: Path, archive: Archive) -> None:
        self._path, self._archive = path, archive
        self._blocks: dict[str, Tensor] = {}
        self._left: dict[str, int] = {}

    def tensor(self, name: str, ref: TensorRef) -> Tensor:
        block = self._block(name, ref.storage)
        count, last = 1, ref.offset
        for size, stride in zip(ref.size, ref.stride, strict=True):
            count *= size
            last += (size - 1) * stride
        # Every element may be claimed once: memory is bounded by the file's size, whatever sizes and strides claim.
        self._left[ref.storage.key] -= count
        if count and (last >= block.numel() or self._left[ref.storage.key] < 0):
            raise ModelFileError(self._path, f"it is damaged: tensor {name} claims more numbers than the file holds")
        if count == 0:
            return block.new_empty(0)
        # The stride of a side of one is never used, and may claim to be anything.
        strides = [stride if size > 1 else 1 for size, stride in zip(ref.size, ref.stride, strict=True)]
        return block.as_strided(ref.size, strides, ref.offset).clone(memory_format=torch.contiguous_format)

    def _block(self, name: str, ref: StorageRef) -> Tensor:
        dtype = _DTYPES.get(ref.kind)
        if dtype is None:
            raise ModelFileError(self._path, f"tensor {name} is stored as {ref.kind}, which is not supported")
        if ref.key not in self._blocks:
            data = self._archive.block(ref.key)
            usable = len(data) // dtype.itemsize
            self._blocks[ref.key] = (
                torch.frombuffer(data, dtype=dtype, count=usable) if usable else torch.empty(0, dtype=dtype)
            )
            self._left[ref.key] = usable
        if self._blocks[ref.key].dtype is not dtype:
            raise ModelFileError(self._path, f"it is damaged: tensor {name} shares its numbers with another type")
        return self._blocks[ref.key]
