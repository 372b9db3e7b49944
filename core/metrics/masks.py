"""Masks of which scoring asks only what it needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from segkit.core import rle
from segkit.core.metrics.coding import Crop, read_runs, refuse_other_sizes, write_rles
from segkit.core.metrics.runs import Integers, Runs
from segkit.core.rle import Rle

Floats = NDArray[np.float64]

KEPT = 1 << 25
"""Pixels of masks that are kept while pairs are compared."""


class Masks(Sequence[Rle]):
    """N masks of one picture. As a sequence it holds their run lengths, which are made for whoever looks at them."""

    size: tuple[int, int]
    """(height, width) of the picture"""

    @property
    @abstractmethod
    def windows(self) -> Floats:
        """(N, 4) x1, y1, x2, y2: nothing is on outside."""

    @abstractmethod
    def crop(self, index: int) -> Crop:
        """The pixels of one mask."""

    @abstractmethod
    def areas(self, which: Integers, edges: Sequence[float] | None = None) -> Floats:
        """(M,) pixels of some masks. With `edges` any number will do that is on the same side of every one of them."""

    def shared(self, mine: Integers, other: Masks, theirs: Integers) -> Floats:
        """(P,) pixels that mask `mine[i]` of these and mask `theirs[i]` of `other` have in common."""
        mine_of, crop_of = _Last(self), _Last(other)
        pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
        return np.array([_common(mine_of[index], crop_of[partner]) for index, partner in pairs], np.float64)


class Encoded(Masks):
    """Masks that are there as run lengths: they are compared by these, in work proportional to the runs."""

    def __init__(self, masks: Sequence[Rle], size: Sequence[int] | None = None) -> None:
        """`size` (height, width) says what a picture without masks has.

        Raises:
            InputError: a mask has another size than the first, or its runs do not fill its picture.
        """
        self._masks = list(masks)
        self._runs: Runs = read_runs(self._masks, size)
        self.size = (self._runs.height, self._runs.total // max(self._runs.height, 1))

    @cached_property
    def windows(self) -> Floats:
        """Around the pixels that are on."""
        return self._runs.extents()

    def crop(self, index: int) -> Crop:
        """Decoded now."""
        return self._runs.crop(index)

    def areas(self, which: Integers, edges: Sequence[float] | None = None) -> Floats:
        """The numbers."""
        return self._runs.areas[which]

    def shared(self, mine: Integers, other: Masks, theirs: Integers) -> Floats:
        """By their runs, if the others are encoded, too."""
        if isinstance(other, Encoded):
            return self._runs.shared(mine, other._runs, theirs)
        return super().shared(mine, other, theirs)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._masks)

    @overload
    def __getitem__(self, index: int) -> Rle: ...

    @overload
    def __getitem__(self, index: slice) -> list[Rle]: ...

    def __getitem__(self, index: int | slice) -> Rle | list[Rle]:
        """As they were given."""
        return self._masks[index]


class Cropped(Masks):
    """Masks whose pixels are made when they are asked for."""

    def __init__(
        self, crop: Callable[[int], Crop], windows: Floats, size: tuple[int, int], numbers: Integers | None = None
    ) -> None:
        """`crop` gives the pixels by number; outside of its window (M, 4) x1, y1, x2, y2 none is on.

        `numbers` (N,) are those of the masks, where several masks are one: its pixels are counted once.
        """
        self._crop, self.size = crop, size
        self._numbers = np.arange(len(windows)) if numbers is None else numbers
        self._windows = windows[self._numbers]
        self._counted: dict[int, int] = {}

    @property
    def windows(self) -> Floats:
        """As they were given."""
        return self._windows

    def crop(self, index: int) -> Crop:
        """Made now."""
        number = int(self._numbers[index])
        crop = self._crop(number)
        self._counted[number] = int(np.count_nonzero(crop[0]))
        return crop

    def areas(self, which: Integers, edges: Sequence[float] | None = None) -> Floats:
        """Counted where the window leaves it open."""
        left, top, right, bottom = self._windows[which].T
        areas: Floats = (right - left) * (bottom - top)
        for place in np.flatnonzero(areas >= (0 if edges is None else min(edges))).tolist():
            index = int(which[place])
            if (number := int(self._numbers[index])) not in self._counted:
                self.crop(index)
            areas[place] = self._counted[number]
        return areas

    def __len__(self) -> int:
        """How many there are."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Rle: ...

    @overload
    def __getitem__(self, index: slice) -> list[Rle]: ...

    def __getitem__(self, index: int | slice) -> Rle | list[Rle]:
        """Encoded now."""
        if isinstance(index, slice):
            return write_rles([self.crop(each) for each in range(*index.indices(len(self)))], self.size)
        return rle.encode(*self.crop(range(len(self))[index]), self.size)

    def __iter__(self) -> Iterator[Rle]:
        """All of them, encoded at once."""
        return iter(self[:])


def masks_of(masks: Sequence[Rle], size: Sequence[int] | None = None) -> Masks:
    """The same to ask; those of a picture of `size` (height, width), where that is known.

    Raises:
        InputError: they are not of this size or not of one size, or are damaged.
    """
    if not isinstance(masks, Masks):
        return Encoded(masks, size)
    if size is not None and len(masks):
        refuse_other_sizes([masks.size], size)
    return masks


class _Last(dict[int, Crop]):
    """Crops of masks, the last ones of which are kept: in pairs the same come again and again."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks, self._pixels = masks, 0

    def __missing__(self, index: int) -> Crop:
        crop = self._masks.crop(index)
        self._pixels += crop[0].size
        if self._pixels > KEPT:
            self.clear()
            self._pixels = crop[0].size
        self[index] = crop
        return crop


def _common(one: Crop, other: Crop) -> int:
    (mask, top, left), (partner, other_top, other_left) = one, other
    first, begin = max(top, other_top), max(left, other_left)
    last = min(top + mask.shape[0], other_top + partner.shape[0])
    end = min(left + mask.shape[1], other_left + partner.shape[1])
    if last <= first or end <= begin:
        return 0
    one_part = mask[first - top : last - top, begin - left : end - left]
    other_part = partner[first - other_top : last - other_top, begin - other_left : end - other_left]
    return int(np.count_nonzero(one_part & other_part))
