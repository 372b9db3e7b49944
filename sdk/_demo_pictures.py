"""The pictures of the demo: what is labelled in some of those held out, and what every format sees there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segkit._demo_arguments import DemoArguments

if TYPE_CHECKING:
    from segkit.core.data.dataset import Dataset

SHOWN = 6
"""Pictures on the page: those with the most objects, which are the hardest."""

LABELLED = "labelled"


@dataclass(frozen=True)
class Shown:
    """One picture as its labels and every format have it.

    Attributes:
        name: of the file in the data set.
        drawn: title → written picture; the labels first, then format by format.
        counts: title → number of objects.
    """

    name: str
    drawn: Mapping[str, Path]
    counts: Mapping[str, int]


def draw_pictures(dataset: Dataset, files: Mapping[str, Path], folder: Path, args: DemoArguments) -> tuple[Shown, ...]:
    """Draw `SHOWN` pictures of the data set as labelled and as every file sees them, into `folder`.

    Raises:
        OutputError: they cannot be written.
    """
    from segkit import YOLO
    from segkit.core.data.drawing import draw_labels
    from segkit.core.images.reading import read_picture
    from segkit.core.inference.saving import write_picture

    chosen = sorted(dataset, key=lambda sample: -len(sample.labels))[:SHOWN]
    drawn: list[dict[str, Path]] = [{} for _ in chosen]
    counts: list[dict[str, int]] = [{} for _ in chosen]
    for sample, own, count in zip(chosen, drawn, counts, strict=True):
        own[LABELLED], count[LABELLED] = folder / f"{sample.path.stem}-{LABELLED}.jpg", len(sample.labels)
        write_picture(own[LABELLED], draw_labels(read_picture(sample.path), sample.labels, dataset.names))
    for title, file in files.items():
        results = YOLO(file).predict([str(sample.path) for sample in chosen], save=False, device=args.device)
        for sample, own, count, result in zip(chosen, drawn, counts, results, strict=True):
            own[title], count[title] = folder / f"{sample.path.stem}-{title}.jpg", len(result)
            write_picture(own[title], result.plot())
    return tuple(Shown(*parts) for parts in zip((sample.path.name for sample in chosen), drawn, counts, strict=True))
