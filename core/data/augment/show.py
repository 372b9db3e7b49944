"""A sheet of samples as training sees them: what `segkit data show` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segkit.core.data.augment.arguments import ShowArguments
from segkit.core.data.augment.pictures import resized
from segkit.core.data.augment.pipeline import TrainingSamples
from segkit.core.data.augment.sample import TrainingSample
from segkit.core.data.dataset import open_dataset
from segkit.core.data.drawing import draw_labels
from segkit.core.data.labels import Labels
from segkit.core.errors import OptionError, OutputError
from segkit.core.files import atomic_write, expanded, file_name_of
from segkit.core.images.batch import Picture
from segkit.core.notices import progress
from segkit.core.rle import Rle, encode

FOLDER = Path("runs", "data", "show")
"""Where a sheet is written unless told otherwise."""

_MOST, _GAP = 4096, 4
"""Pixels: the longest side of a sheet, about, and the space between two samples."""

_PAPER = 255
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Shown:
    """What was written: the sheet, how many samples it has, and how many objects they have."""

    path: Path
    samples: int
    objects: int


def show_samples(data: str | Path, arguments: ShowArguments) -> Shown:
    """Draw samples of a data set with their masks, boxes and class names, and write them as one picture.

    The masks are the training masks themselves: as coarse as `mask_ratio` makes them, hidden parts left out.

    Raises:
        SourceError: no such data set or split, or a picture cannot be read any more.
        OptionError: sizes that do not go together, or an output that is neither .jpg nor .png.
        OutputError: the sheet cannot be written.
    """
    given = None if arguments.output is None else expanded(arguments.output)
    if given is not None and given.suffix.lower() not in _SUFFIXES:
        raise OptionError.invalid("output", arguments.output, f"its name must end in {', '.join(_SUFFIXES)}")
    dataset = open_dataset(data, arguments.split)
    changes = arguments.changes()
    maker = TrainingSamples(dataset, changes or arguments.run(), imgsz=arguments.imgsz, seed=arguments.seed)
    count = min(arguments.count, len(dataset))
    columns = math.ceil(math.sqrt(count))
    side = min(max(arguments.imgsz), _MOST // columns)
    cells, objects = [], 0
    with progress("drawing samples", count, unit="samples") as advance:
        for index in np.random.default_rng(arguments.seed).permutation(len(dataset))[:count].tolist():
            sample = maker.sample(index, arguments.epoch) if changes else maker.plain(index)
            cells.append(drawn(sample, dataset.names, side))
            objects += len(sample.labels)
            advance(1)
    name = file_name_of(f"{dataset.source.stem}_{dataset.split}{'_augmented' if changes else ''}")
    path = given or FOLDER / f"{name}.jpg"
    _write(grid(cells, columns), path)
    return Shown(path, count, objects)


def drawn(sample: TrainingSample, names: Mapping[int, str], side: int) -> Picture:
    """A sample with its labels drawn in, BGR, its long side `side` pixels."""
    seen = Labels.of(sample.labels.classes, [*masks_of(sample)], sample.labels.boxes)
    return draw_labels(resized(np.ascontiguousarray(sample.picture[..., ::-1]), side), seen, names)


def masks_of(sample: TrainingSample) -> list[Rle]:
    """The N masks of a sample as a network is shown them, of either encoding."""
    masks = sample.masks
    frames = masks if masks.ndim == 3 else [masks == number + 1 for number in range(len(sample.labels))]
    return [encode(np.asarray(frame, np.bool_), 0, 0, (frame.shape[0], frame.shape[1])) for frame in frames]


def grid(cells: list[Picture], columns: int) -> Picture:
    """Pictures of one size in rows."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    page = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), _PAPER, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        page[top : top + height, left : left + width] = cell
    return page


def _write(page: Picture, path: Path) -> None:
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 92]
    done, data = cv2.imencode(path.suffix.lower(), page, settings)
    if not done:
        raise OutputError(path, "the sheet cannot be encoded")
    with atomic_write(path) as partial:
        partial.write_bytes(data.tobytes())
