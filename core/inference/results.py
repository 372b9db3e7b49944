"""What prediction found in one picture, with the API that users of this field know."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import OptionError
from segkit.core.files import file_name_of
from segkit.core.images import Picture, Size
from segkit.core.images.items import Frame, label_of
from segkit.core.inference import coco, display, draw, interop, saving, tables
from segkit.core.inference.arrays import OnHost
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.parts import Boxes, Masks
from segkit.core.ink.colors import color_of
from segkit.core.ink.fonts import preferred, readable

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Boxes", "Masks", "Results"]

STEPS = ("preprocess", "inference", "postprocess")


class Results(OnHost):
    """The objects of one picture, best first.

    Attributes:
        orig_img: the picture, (H, W, 3) BGR uint8. Not copied: what you draw on it stays.
        path: its file, or "image0.jpg" and so on for pictures from memory.
        names: class index → name.
        boxes: `Boxes`, also when there are none.
        masks: `Masks`, or None when nothing was found (as in the known tool).
        speed: milliseconds of "preprocess", "inference" and "postprocess" for this picture, None where not measured.
        frame: where the picture stands in a video or stream, None for a picture of its own.
        save_dir: folder of the run that saved it, if any.
        probs, keypoints, obb: what other tasks find; always None, for scripts that ask.
    """

    probs: ClassVar[None] = None
    keypoints: ClassVar[None] = None
    obb: ClassVar[None] = None

    def __init__(
        self,
        orig_img: Picture,
        path: str,
        names: Mapping[int, str],
        boxes: Boxes | NDArray[np.float32] | None = None,
        masks: Masks | InstanceMasks | None = None,
        speed: Mapping[str, float | None] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Boxes are `Boxes` or their (N, 6) table; there is one mask for each box, or no masks at all."""
        self.orig_img = orig_img
        self.orig_shape: Size = (orig_img.shape[0], orig_img.shape[1])
        self.path = path
        self.names = dict(names)
        self.boxes = boxes if isinstance(boxes, Boxes) else Boxes([] if boxes is None else boxes, self.orig_shape)
        found = Masks(masks) if isinstance(masks, InstanceMasks) else masks
        self.masks = found if found is not None and len(found) else None
        if self.masks is not None and len(self.masks) != len(self.boxes):
            raise ValueError(f"{len(self.boxes)} boxes but {len(self.masks)} masks")
        self.speed: dict[str, float | None] = {step: (speed or {}).get(step) for step in STEPS}
        self.frame = frame
        self.save_dir: str | None = None

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.boxes)

    def __getitem__(self, index: Any) -> Results:
        """The same picture with some of its objects: by number, slice, index list or condition."""
        masks = self.masks[index] if self.masks is not None else None
        chosen = Results(self.orig_img, self.path, self.names, self.boxes[index], masks, self.speed, self.frame)
        chosen.save_dir = self.save_dir
        return chosen

    def __iter__(self) -> Iterator[Results]:
        """The objects one by one."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """Picture, findings and masks in one line."""
        height, width = self.orig_shape
        masks = f", masks {self.masks.shape[1]}x{self.masks.shape[2]}" if self.masks is not None else ""
        return f"Results('{self.path}' {height}x{width}: {self.verbose()}{masks})"

    def class_name(self, index: float) -> str:
        """The name of a class; "class 7" where the model has no name for it."""
        return self.names.get(int(index)) or f"class {int(index)}"

    def label(self) -> str:
        """The picture in a line of text: its path, and for a frame its number: "street.mp4 12/300"."""
        return label_of(self.path, self.frame)

    def verbose(self) -> str:
        """Counts by class, e.g. "4 persons, 1 bus"; "no detections" when there are none."""
        counts = Counter(self.boxes.cls.int().tolist())
        return ", ".join(_counted(counts[c], self.class_name(c)) for c in sorted(counts)) or "no detections"

    def plot(
        self,
        conf: bool = True,
        line_width: int | None = None,
        font_size: int | None = None,
        font: str | Path | None = None,
        pil: bool = False,
        img: Picture | None = None,
        *,
        labels: bool = True,
        boxes: bool = True,
        masks: bool = True,
        color_mode: Literal["class", "instance"] = "class",
    ) -> Any:
        """A copy of the picture with the objects drawn in.

        Args:
            conf: write the confidence into the labels.
            line_width: in pixels; default by picture size.
            font_size: in pixels; default by picture size.
            font: font file to prefer (default: the environment's SEGKIT_FONT, else one that covers the names).
            pil: give a Pillow image (RGB) instead of an array.
            img: draw on a copy of this picture of the same size instead.
            labels: draw class names; they belong to the boxes.
            boxes: draw boxes and labels.
            masks: tint the masks and draw their outlines.
            color_mode: one colour a class, or one an instance.

        Returns:
            (H, W, 3) BGR uint8, or a Pillow image.

        Raises:
            OptionError: `img` has another shape, an unknown `color_mode`, a width or size below 1, or `font` is no
                file.
        """
        canvas = self._canvas(img)
        if color_mode not in ("class", "instance"):
            raise OptionError.invalid("color_mode", color_mode, "give class or instance")
        numbers = range(len(self)) if color_mode == "instance" else self.boxes.cls.int().tolist()
        colors = [color_of(number) for number in numbers]
        width = _pixels("line_width", line_width) or draw.line_width_for(self.orig_shape)
        size = _pixels("font_size", font_size) or draw.font_size_for(self.orig_shape)
        if masks and self.masks is not None:
            draw.paint_masks(canvas, self.masks.instances, colors, width)
        if boxes:
            draw.paint_boxes(canvas, self.boxes.xyxy, colors, width)
        if boxes and labels:
            face = preferred(font)
            texts = self._label_texts(face, confidence=conf)
            draw.paint_labels(canvas, self.boxes.xyxy, texts, colors, line_width=width, font_size=size, font=face)
        return _as_pillow(canvas) if pil else canvas

    def _canvas(self, img: Picture | None) -> Picture:
        if img is None:
            return self.orig_img.copy()
        if not isinstance(img, np.ndarray) or img.shape != self.orig_img.shape or img.dtype != np.uint8:
            given = f"array of shape {img.shape}, {img.dtype}" if isinstance(img, np.ndarray) else type(img).__name__
            raise OptionError.invalid("img", given, f"give an array of shape {self.orig_img.shape}, uint8")
        return img.copy()

    def _label_texts(self, font: str | None, *, confidence: bool) -> list[str]:
        texts = []
        for row in self.boxes.data.tolist():
            text = readable(self.class_name(row[-1]), f"class {int(row[-1])}", font)
            if self.boxes.is_track:
                text = f"id:{int(row[4])} {text}"
            texts.append(f"{text} {row[-2]:.2f}" if confidence else text)
        return texts

    def save(self, filename: str | Path | None = None, **plot: Any) -> str:
        """Write the picture that `plot(**plot)` gives; the suffix decides the format.

        Args:
            filename: default "results_" and the picture's own name, in the working folder.
            plot: arguments of `plot`.

        Returns:
            The path written.

        Raises:
            OutputError: an unknown suffix, or a place that cannot be written; what was there before is untouched.
        """
        path = Path(filename) if filename else Path(f"results_{file_name_of(Path(self.path).stem)}.jpg")
        saving.write_picture(path, self.plot(**{**plot, "pil": False}))
        return str(path)

    def show(self, **plot: Any) -> None:
        """Show the picture that `plot(**plot)` gives: in the notebook, in the system's viewer, or in a window of
        OpenCV, which waits for a key.

        Raises:
            OptionError: none of them is there.
        """
        screen = display.open_display(viewer_first=True)
        try:
            if screen.show(self.plot(**{**plot, "pil": False}), self.path):
                screen.finish()
        finally:
            screen.close()

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Write YOLO label rows: class and normalised outline, with `save_conf` the confidence last.

        A picture without objects gives an empty file, which means just that in a data set. Returns the path.

        Raises:
            OutputError: the place cannot be written; what was there before is untouched.
        """
        rows = saving.label_rows(self.boxes, self.masks, confidence=save_conf)
        saving.write_text(Path(txt_file), "".join(row + "\n" for row in rows))
        return str(txt_file)

    def save_crop(self, save_dir: str | Path, file_name: str | Path = "im.jpg") -> list[str]:
        """Write each box's part of the picture to `save_dir`/class/`file_name`, numbered where a file exists.

        Returns the paths written.

        Raises:
            OutputError: the place cannot be written.
        """
        name = Path(file_name)
        name = name if name.suffix else name.with_suffix(".jpg")
        classes = [self.class_name(c) for c in self.boxes.cls.tolist()]
        return [str(p) for p in saving.write_crops(Path(save_dir), name, self.orig_img, self.boxes, classes)]

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """A dictionary an object: name, class, confidence, box (x1, y1, x2, y2), segments (x, y); track_id if tracked.

        Coordinates are pixels of the picture, or 0..1 with `normalize`; all numbers are rounded to `decimals`.

        Raises:
            OptionError: `normalize` is something else, as in to_df("polars"), which would pass for True.
        """
        if normalize not in (True, False):
            raise OptionError.invalid("normalize", normalize, "give True or False; a library is given as library=…")
        boxes = self.boxes.xyxyn if normalize else self.boxes.xyxy
        outlines = (self.masks.xyn if normalize else self.masks.xy) if self.masks is not None else []
        rows = []
        for index, row in enumerate(self.boxes.data.tolist()):
            entry: dict[str, Any] = {"name": self.class_name(row[-1]), "class": int(row[-1])}
            entry["confidence"] = round(row[-2], decimals)
            entry["box"] = dict(zip(("x1", "y1", "x2", "y2"), _rounded(boxes[index], decimals), strict=True))
            if self.boxes.is_track:
                entry["track_id"] = int(row[4])
            if outlines:
                entry["segments"] = {axis: _rounded(outlines[index][:, k], decimals) for k, axis in enumerate("xy")}
            rows.append(entry)
        return rows

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """`summary` as JSON text."""
        return json.dumps(self.summary(normalize, decimals), indent=2, ensure_ascii=False)

    def to_df(self, normalize: bool = False, decimals: int = 5, library: str | None = None) -> Any:
        """`summary` as a data frame of `library`, "pandas" or "polars"; default: pandas if it is there, else polars.

        Columns: name, class, confidence, box, track_id if tracked, segments; box and segments hold dictionaries, in
        polars structs.

        Raises:
            OptionError: another library, or it is not given by its name: library="polars".
            MissingDependencyError: it is not installed, or neither is.
        """
        return tables.data_frame(self.summary(normalize, decimals), library, columns=self._columns())

    def to_csv(self, normalize: bool = False, decimals: int = 5) -> str:
        """`summary` as CSV text: name, class, confidence, x1, y1, x2, y2, track_id if tracked, segments as "x y x y …".

        It needs no other package.
        """
        return tables.csv_text(self.summary(normalize, decimals), columns=self._columns())

    def _columns(self) -> list[str]:
        tracked = ["track_id"] if self.boxes.is_track else []
        return [*tables.COLUMNS, *tracked, *(["segments"] if self.masks is not None or not len(self) else [])]

    def to_coco(
        self,
        image_id: int | str | None = None,
        category_ids: Mapping[int, int] | None = None,
        segmentation: coco.Segmentation = "rle",
    ) -> list[dict[str, Any]]:
        """A COCO annotation an object: image_id, category_id, bbox [x, y, w, h], score, area, segmentation.

        Args:
            image_id: default: the number that the file's name is, else the name.
            category_ids: class index → category; default: the class index.
            segmentation: "rle" (exact, compressed) or "polygon" (outlines of the parts, without holes).

        Raises:
            OptionError: another kind of segmentation, or a class without a category.
        """
        return coco.annotate(self, image_id, category_ids, segmentation)

    def to_supervision(self, compact: bool = False) -> Any:
        """`supervision.Detections` with boxes, confidences, class ids, data["class_name"], and masks in the size of
        the picture: (N, H, W) bool, or with `compact` supervision's CompactMask, which is as small as ours.

        Raises:
            MissingDependencyError: supervision is not installed, or too old for `compact`.
        """
        return interop.to_supervision(self, compact=compact)

    def tojson(self, normalize: bool = False, decimals: int = 5) -> str:
        """The older name of `to_json`."""
        return self.to_json(normalize, decimals)


def _pixels(name: str, value: float | None) -> int | None:
    """A number of pixels for drawing, rounded; None for the default."""
    if value is None or value >= 1:
        return value if value is None else round(value)
    raise OptionError.invalid(name, value, "give a number of pixels from 1, or leave it out")


def _rounded(values: NDArray[np.float32], decimals: int) -> list[float]:
    return [round(float(value), decimals) for value in values]


def _as_pillow(picture: Picture) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))


def _counted(count: int, name: str) -> str:
    """Such as "2 buses": with an English plural, which only names in Latin letters can take."""
    if count == 1 or not name[-1:].isascii() or name.endswith(("skis", "ssors")):
        return f"{count} {name}"
    return f"{count} {name}" + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
