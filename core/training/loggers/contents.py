"""What loggers take of a run: the figures of an epoch, pictures, and files that are worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segkit.core.images.batch import Picture

if TYPE_CHECKING:
    from segkit.core.training.record import EpochRecord

_SUFFIXES = {".jpg", ".png"}

LONGEST = 1600
"""Pixels of the longer side of a picture that goes into a log: those of the run's folder are larger."""


def figures(record: EpochRecord) -> dict[str, float]:
    """What is drawn over epochs: the columns of results.csv but for the epoch itself."""
    return {name: value for name, value in record.row().items() if name != "epoch"}


def files_of(folder: Path) -> list[Path]:
    """What is worth keeping of a run's folder, but for the weights."""
    tables = [path for name in ("args.yaml", "results.csv") if (path := folder / name).is_file()]
    return [*tables, *pictures_in(folder)]


def pictures_in(folder: Path) -> list[Path]:
    """Pictures that lie in a run's folder itself, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())


def pixels_of(path: Path) -> Picture:
    """(H, W, 3) RGB uint8 of a picture, made smaller where it is large.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no picture.
    """
    found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError(f"{path.name} is no picture")
    scale = LONGEST / max(found.shape[:2])
    if scale < 1:
        found = cv2.resize(found, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(found[..., ::-1], np.uint8)
