"""Labelled pictures as augmentation asks for them: by number, one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from segkit.core.data.augment.outlining import Outlined
from segkit.core.data.sample import Sample
from segkit.core.images.size import Size


class Labelled(ABC):
    """N labelled pictures."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def path(self, index: int) -> Path:
        """The file of a picture."""

    @abstractmethod
    def size(self, index: int) -> Size:
        """Its (height, width) in pixels."""

    @abstractmethod
    def outlined(self, index: int) -> Outlined:
        """Its objects. Not to be written to."""

    @abstractmethod
    def every(self) -> Outlined:
        """The objects of all pictures, picture by picture."""


class Listed(Labelled):
    """Those of a data set."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Take the samples of a data set."""
        self.samples = samples

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.samples)

    def path(self, index: int) -> Path:
        """The file of a picture."""
        return self.samples[index].path

    def size(self, index: int) -> Size:
        """Its (height, width) in pixels."""
        return self.samples[index].size

    def outlined(self, index: int) -> Outlined:
        """Its objects."""
        return Outlined.of([self.samples[index].labels])

    def every(self) -> Outlined:
        """The objects of all pictures."""
        return Outlined.of([sample.labels for sample in self.samples])
