"""A generated data set of shapes as files: pictures (PNG), labels, and a description.

Each split counts its pictures from a number of its own, so that a longer one begins with the same pictures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from segkit.core.backend.options import Options, validate
from segkit.core.data.describing import DESCRIPTION, description_text
from segkit.core.data.description import SPLITS
from segkit.core.errors import OptionError
from segkit.core.files import expanded, new_folder
from segkit.core.notices import progress

if TYPE_CHECKING:
    from segkit.core.data.shapes.samples import Shapes

APART = 1 << 32
"""Between the numbers of the first pictures of two splits."""


class ShapesOptions(Options):
    """What a generated data set may be asked for."""

    count: int = Field(default=256, ge=0, le=1_000_000, description="pictures to train with")
    val: int = Field(default=64, ge=0, le=1_000_000, description="pictures to validate with")
    test: int = Field(default=0, ge=0, le=1_000_000, description="pictures to test with")
    seed: int = Field(default=0, ge=0, lt=1 << 63, description="another seed gives other pictures")
    imgsz: int = Field(default=320, ge=32, le=4096, description="side of the pictures, in pixels")

    @model_validator(mode="after")
    def _some(self) -> ShapesOptions:
        if not self.count + self.val + self.test:
            raise OptionError("A data set has at least one picture: give count, val or test.")
        return self

    @property
    def pictures(self) -> dict[str, int]:
        """How many each split has."""
        counts = zip(SPLITS, (self.count, self.val, self.test), strict=True)
        return {split: count for split, count in counts if count}


def make_shapes(folder: str | Path, **options: Any) -> Path:
    """Generate a data set in a new folder, which is there as a whole or not at all; its description.

    Args:
        folder: must not be there yet, or be empty.
        options: as `ShapesOptions` has them.

    Raises:
        OptionError: an option is refused.
        OutputError: something is in the folder, or it cannot be written.
    """
    wanted = validate(ShapesOptions, options, "data shapes")
    folder = Path(os.path.abspath(expanded(folder)))  # noqa: PTH100 - never raises
    with new_folder(folder) as partial:
        generate(partial, wanted.pictures, wanted.seed, wanted.imgsz)
        about = f"segkit data shapes, seed {wanted.seed}, size {wanted.imgsz}."
        write_description(partial / DESCRIPTION, tuple(wanted.pictures), about)
    return folder / DESCRIPTION


def generate(folder: Path, pictures: Mapping[str, int], seed: int = 0, size: int = 320) -> None:
    """Write the pictures and labels of some splits into a folder that exists.

    Args:
        folder: gets images/SPLIT/000000.png … and labels/SPLIT/000000.txt ….
        pictures: how many each split has.
        seed: another one gives other pictures.
        size: side of the pictures in pixels.
    """
    from segkit.core.data.shapes.samples import sample

    with progress("generating shapes", sum(pictures.values()), unit="pictures") as advance:
        for split, count in pictures.items():
            for kind in ("images", "labels"):
                (folder / kind / split).mkdir(parents=True)
            for index in range(count):
                made = sample(seed, SPLITS.index(split) * APART + index, size)
                _write(folder, split, f"{index:06}", made)
                advance(1)


def write_description(path: Path, splits: tuple[str, ...], *about: str) -> None:
    """The description of generated splits."""
    from segkit.core.data.shapes.masks import NAMES

    text = description_text({split: f"images/{split}" for split in splits}, NAMES, about)
    path.write_text(text, encoding="utf-8", newline="\n")


def _write(folder: Path, split: str, name: str, made: Shapes) -> None:
    import cv2

    encoded = cv2.imencode(".png", made.picture)[1]
    (folder / "images" / split / f"{name}.png").write_bytes(encoded.tobytes())
    lines = [
        " ".join([str(kind), *(f"{value:.7g}" for value in outline.ravel())])
        for kind, outline in zip(made.classes, made.outlines, strict=True)
    ]
    text = "".join(f"{line}\n" for line in lines)
    (folder / "labels" / split / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
