"""Results in the formats of COCO: annotations for tools that label and train, and result files for evaluation.

The formats are those of https://cocodataset.org/#format-data and #format-results, as pycocotools reads them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from segkit.core import rle
from segkit.core.errors import OptionError, OutputError
from segkit.core.files import atomic_write, output_error

if TYPE_CHECKING:
    from segkit.core.inference.results import Results

Segmentation = Literal["rle", "polygon"]


def annotate(
    result: Results,
    image_id: int | str | None = None,
    category_ids: Mapping[int, int] | None = None,
    segmentation: Segmentation = "rle",
) -> list[dict[str, Any]]:
    """One dictionary an object: image_id, category_id, bbox [x, y, width, height], score, area, segmentation.

    Args:
        result: the objects of one picture. Masks are those of the picture's own pixels.
        image_id: default: see `image_id_of`.
        category_ids: class index → category; default: the class index.
        segmentation: "rle" for compressed run lengths, exact; "polygon" for the outlines of the parts, without holes.

    Raises:
        OptionError: another kind of segmentation, or a class without a category.
    """
    if segmentation not in ("rle", "polygon"):
        raise OptionError.invalid("segmentation", segmentation, "give rle or polygon")
    image = image_id_of(result) if image_id is None else image_id
    rows = []
    for index, row in enumerate(result.boxes.data.tolist()):
        x1, y1, x2, y2 = row[:4]
        annotation: dict[str, Any] = {
            "image_id": image,
            "category_id": _category(int(row[-1]), category_ids),
            "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(row[-2], 5),
        }
        if result.masks is not None:
            annotation |= _mask(result, index, segmentation)
        if result.boxes.is_track:
            annotation["track_id"] = int(row[4])
        rows.append(annotation)
    return rows


def image_id_of(result: Results) -> int | str:
    """The number that a picture's name is, as in COCO's own files ("000000000139.jpg" is 139), else the name.

    For the frame of a video the name and the number of the frame: "street_12".
    """
    stem = Path(result.path).stem
    if result.frame is not None:
        return f"{stem}_{result.frame.number}"
    return int(stem) if stem.isascii() and stem.isdigit() else stem


def _category(index: int, category_ids: Mapping[int, int] | None) -> int:
    if category_ids is None:
        return index
    if index not in category_ids:
        raise OptionError(f"Option category_ids has no category for class {index}.")
    return category_ids[index]


def _mask(result: Results, index: int, segmentation: Segmentation) -> dict[str, Any]:
    """Area in pixels and the mask itself; the one crop is made once for both."""
    assert result.masks is not None
    masks = result.masks.instances.native()
    crop, top, left = masks.native_crop(index)
    area = int(np.count_nonzero(crop))
    if segmentation == "rle":
        return {"area": area, "segmentation": rle.encode(crop, top, left, result.orig_shape)}
    parts = [part for part in masks.polygons(index) if len(part) > 2]
    return {"area": area, "segmentation": [part.ravel().tolist() for part in parts] or [_corners(result, index)]}


def _corners(result: Results, index: int) -> list[float]:
    """The box as a polygon, for a mask of a pixel or two: an outline needs three points."""
    x1, y1, x2, y2 = result.boxes.xyxy[index].tolist()
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def save_coco_results(
    results: Iterable[Results],
    path: str | Path,
    image_ids: Callable[[Results], int | str] = image_id_of,
    category_ids: Mapping[int, int] | None = None,
) -> int:
    """Write a result file, the list that `pycocotools.coco.COCO.loadRes` takes, and give the number of objects.

    `results` may be a stream: one picture's objects are in memory at a time. The file appears when it is complete.

    Args:
        results: what `predict` gave, of any number of pictures.
        path: the .json file.
        image_ids: the id that the ground truth has for a picture; default: see `image_id_of`.
        category_ids: class index → category of the ground truth; default: the class index.

    Raises:
        OutputError: the place cannot be written; what was there before is untouched.
    """
    count = 0
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for result in results:
            for annotation in annotate(result, image_ids(result), category_ids):
                file.write((",\n" if count else "\n") + json.dumps(annotation))
                count += 1
        file.write("\n]\n")
    return count


class CocoFile:
    """A data set in one file, written as its pictures come: images, annotations with ids from 1, and categories.

    Annotations carry a "score" beside what COCO asks for; a frame of a video names the video and its "frame".
    """

    def __init__(self, path: Path) -> None:
        """Begin to write; `path` appears when the file is closed.

        Raises:
            OutputError: the place cannot be written.
        """
        self.path = path
        self._images, self._objects, self._failure = 0, 0, False
        self._names: dict[int, str] = {}
        with contextlib.ExitStack() as opening:
            self._partial = opening.enter_context(atomic_write(path))
            self._file = opening.enter_context(self._partial.open("w", encoding="utf-8", newline="\n"))
            # Pictures come between the annotations, but are a list of their own: they wait in a file too.
            self._waiting: IO[str] = opening.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
            self._file.write('{"annotations": [')
            self._open = opening.pop_all()

    def add(self, result: Results) -> None:
        """Write the objects of one picture.

        Raises:
            OutputError: the disk is full; nothing of the file stays.
        """
        self._images += 1
        self._names |= result.names
        height, width = result.orig_shape
        image: dict[str, Any] = {"id": self._images, "file_name": result.path, "width": width, "height": height}
        if result.frame is not None:
            image["frame"] = result.frame.number
        try:
            self._waiting.write((",\n" if self._images > 1 else "\n") + json.dumps(image))
            for annotation in annotate(result, self._images):
                self._objects += 1
                row = json.dumps({"id": self._objects, **annotation, "iscrowd": 0})
                self._file.write((",\n" if self._objects > 1 else "\n") + row)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write the rest; the file gets its name. Nothing where it failed before.

        Raises:
            OutputError: the disk is full; nothing of the file stays.
        """
        if self._failure:
            return
        categories = [{"id": index, "name": name} for index, name in sorted(self._names.items())]
        try:
            self._file.write('\n],\n"images": [')
            self._waiting.seek(0)
            shutil.copyfileobj(self._waiting, self._file)
            self._file.write(f'\n],\n"categories": {json.dumps(categories)}}}\n')
        except OSError as error:
            raise self._failed(error) from error
        self._open.close()

    def _failed(self, error: OSError) -> OutputError:
        """Take away what was written, and say why."""
        self._failure = True
        with contextlib.suppress(OSError, OutputError):
            self._open.__exit__(type(error), error, error.__traceback__)
        return output_error(self.path, error)
