"""Calibration pictures on their way to an exporter, in this process or through a file to the child."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend.base import Calibration
from segkit.core.errors import OptionError
from segkit.core.images import ImageBatch, Picture, Size


class PictureCalibration(Calibration):
    """Letterboxed pictures (N, H, W, 3) uint8 RGB, held in memory or mapped from a file."""

    def __init__(self, pixels: NDArray[np.uint8], batch: int = 1) -> None:
        """Serve `pixels` in batches of `batch`; a last short batch is dropped unless it is the only one."""
        if not len(pixels):
            raise ValueError("calibration needs at least one picture")
        self.pixels = pixels
        self.batch = batch
        digest = hashlib.sha256(repr(pixels.shape).encode())
        for picture in pixels:
            digest.update(np.ascontiguousarray(picture).data)
        self.digest = digest.hexdigest()

    @classmethod
    def of_pictures(cls, pictures: Iterable[Picture], size: Size, batch: int = 1) -> PictureCalibration:
        """Letterbox pictures (BGR) into `size` as prediction does.

        They wait in a temporary file, which lives as long as this object: thousands need no more memory than one.

        Raises:
            OptionError: there is none.
        """
        count = 0
        with tempfile.TemporaryFile() as file:
            for picture in pictures:
                file.write(ImageBatch([picture], size).u8_nhwc.data)
                count += 1
            if not count:
                raise OptionError(
                    "No picture to calibrate with could be read: give data=FOLDER with readable pictures."
                )
            file.flush()
            return cls(np.memmap(file, np.uint8, "r", shape=(count, *size, 3)), batch)

    @classmethod
    def open(cls, path: Path, batch: int) -> PictureCalibration:
        """Map the file that `save()` wrote."""
        return cls(np.load(path, mmap_mode="r", allow_pickle=False), batch)

    def save(self, path: Path) -> None:
        """Write the pixels to a `.npy` file."""
        np.save(path, self.pixels, allow_pickle=False)

    def __iter__(self) -> Iterator[ImageBatch]:
        """Batches of `batch` pictures, repeating the first ones when there are fewer than one batch."""
        if len(self.pixels) < self.batch:
            yield ImageBatch.from_u8(np.resize(self.pixels, (self.batch, *self.pixels.shape[1:])))
            return
        for start in range(0, len(self.pixels) - self.batch + 1, self.batch):
            yield ImageBatch.from_u8(np.asarray(self.pixels[start : start + self.batch]))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pixels)
