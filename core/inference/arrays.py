"""Arrays of results: numpy arrays that also answer to the tensor methods which scripts for the known tools use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike


class OnHost:
    """Methods that move a tensor between devices in the known tools. Results live in main memory: each gives itself."""

    def cpu(self) -> Self:
        """Itself."""
        return self

    def numpy(self) -> Any:
        """Itself."""
        return self

    def cuda(self, *_: Any, **__: Any) -> Self:
        """Itself."""
        return self

    def to(self, *_: Any, **__: Any) -> Self:
        """Itself."""
        return self


class Array(OnHost, np.ndarray[Any, np.dtype[Any]]):
    """A numpy array on which `.cpu()`, `.numpy()`, `.detach()`, `.to(…)`, `.int()`, `.float()` work too, without torch.

    Two things differ from numpy: an element is a 0-d array, so that `a[0].cpu()` works, and `int(a)` and `float(a)`
    take any array of one element, whatever its shape.
    """

    @classmethod
    def of(cls, values: ArrayLike, dtype: np.dtype[Any] | type | None = None) -> Self:
        """A view of `values` where that is possible, a copy where the type differs."""
        return np.asarray(values, dtype).view(cls)

    def __getitem__(self, index: Any) -> Any:
        """As numpy, but an element comes as a 0-d array."""
        found = super().__getitem__(index)
        return found if isinstance(found, np.ndarray) else np.asarray(found, self.dtype).view(type(self))

    def __iter__(self) -> Iterator[Any]:
        """Rows, or elements as 0-d arrays."""
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[index] for index in range(len(self)))

    def __int__(self) -> int:
        """The only element."""
        return int(self.item())

    def __float__(self) -> float:
        """The only element."""
        return float(self.item())

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The same memory as a plain numpy array."""
        return self.view(np.ndarray)

    def astype(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """As numpy, and a plain array of it: who asks for this is done with tensors, and expects plain numbers."""
        return super().astype(*args, **kwargs).view(np.ndarray)

    def detach(self) -> Self:
        """Itself: there is no gradient."""
        return self

    def clone(self) -> Self:
        """A copy."""
        return self.copy()

    def int(self) -> Self:
        """As int32, toward zero."""
        return self._as(np.int32)

    def long(self) -> Self:
        """As int64, toward zero."""
        return self._as(np.int64)

    def float(self) -> Self:
        """As float32."""
        return self._as(np.float32)

    def bool(self) -> Self:
        """As bool: what is not zero."""
        return self._as(np.bool_)

    def _as(self, dtype: type[np.generic]) -> Self:
        return self.astype(dtype).view(type(self))

    def unique(self) -> Self:
        """The different values, sorted."""
        return np.unique(self).view(type(self))
