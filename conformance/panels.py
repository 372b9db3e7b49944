"""A picture as several models see it, side by side, with the differences marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from segkit.conformance.comparison import Compared, Comparison, Limits
from segkit.conformance.instances import Seen
from segkit.core.files import file_name_of
from segkit.core.images import Picture
from segkit.core.inference import draw
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.output import Stems, run_folder
from segkit.core.inference.saving import write_picture
from segkit.core.ink.colors import Color
from segkit.core.ink.fonts import readable
from segkit.core.ink.tags import label

AGREED: Color = (255, 136, 30)
NEAR: Color = (0, 196, 255)
DIFFERENT: Color = (48, 59, 255)
"""Blue, green, red: blue for what both see alike, amber for what lies near the threshold, red for the rest. They stay
apart for people who confuse red and green.
"""

PAPER: Color = (32, 32, 32)
GAP = 8
LARGEST = 1280
"""Longest side of one panel in pixels."""

Marks = dict[int, str]
"""Index of an object → what is different about it; objects without a mark agree."""


def side_by_side(
    compared: Compared, titles: Sequence[str], limits: Sequence[Limits], names: Mapping[int, str]
) -> Picture:
    """The panels in one picture: (H, W, 3) BGR uint8. Arguments as of `panels_of`."""
    panels = panels_of(compared, titles, limits, names)
    gap = np.full((panels[0].shape[0], GAP, 3), PAPER, np.uint8)
    joined = [part for panel in panels for part in (gap, panel)][1:]
    return np.ascontiguousarray(np.hstack(joined))


def panels_of(
    compared: Compared, titles: Sequence[str], limits: Sequence[Limits], names: Mapping[int, str]
) -> list[Picture]:
    """One panel a model, the reference first: each (H, W, 3) BGR uint8.

    Args:
        compared: the picture, and what the models see in it.
        titles: of the panels, one a model.
        limits: of every model but the reference; a pair beyond them counts as different.
        names: class index → name.
    """
    all_marks = [marks_of(compared, index, limits) for index in range(len(compared.seen))]
    height, width = compared.picture.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    panels = []
    for seen, marks, title in zip(compared.seen, all_marks, titles, strict=True):
        painted = _painted(compared.picture, seen, marks, names)
        if scale < 1:
            size = max(round(width * scale), 1), max(round(height * scale), 1)
            painted = cv2.resize(painted, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        different = sum(not text.startswith("near") for text in marks.values())
        panels.append(titled(painted, f"{title}: {len(seen)} objects, {different} different"))
    return panels


def marks_of(compared: Compared, model: int, limits: Sequence[Limits]) -> Marks:
    """What is different about the objects of model number `model` (0: the reference, against any of the others)."""
    marks: Marks = {}
    for index, (matching, limit) in enumerate(zip(compared.matchings, limits, strict=True), start=1):
        if model not in (0, index):
            continue
        unmatched = (matching.missing, matching.near_missing) if model == 0 else (matching.extra, matching.near_extra)
        word = "missing" if model == 0 else "extra"
        for pair in matching.pairs:
            if not limit.hold(pair.mask_iou, abs(pair.score)):
                marks[pair.other if model else pair.reference] = f"IoU {pair.mask_iou:.3f}, score {pair.score:+.3f}"
        marks |= dict.fromkeys(unmatched[1], "near the threshold")
        marks |= dict.fromkeys(unmatched[0], word)
    return marks


def _painted(picture: Picture, seen: Seen, marks: Marks, names: Mapping[int, str]) -> Picture:
    canvas = picture.copy()
    size = (picture.shape[0], picture.shape[1])
    colors, texts = [], []
    for index, (class_, score) in enumerate(zip(seen.classes.tolist(), seen.scores.tolist(), strict=True)):
        mark = marks.get(index)
        colors.append(AGREED if mark is None else NEAR if mark.startswith("near") else DIFFERENT)
        name = readable(names.get(class_) or f"class {class_}", f"class {class_}", None)
        texts.append(f"{name} {score:.2f}" + (f" ({mark})" if mark else ""))
    width = draw.line_width_for(size)
    draw.paint_masks(canvas, seen.masks, colors, width)
    draw.paint_boxes(canvas, seen.xyxy, colors, width)
    draw.paint_labels(canvas, seen.xyxy, texts, colors, line_width=width, font_size=draw.font_size_for(size))
    return canvas


def titled(panel: Picture, title: str) -> Picture:
    """The panel below a strip with its title, cut to the panel's width."""
    width = panel.shape[1]
    size = min(max(round(width / 40), 14), 24)
    strip = np.full((2 * size, width, 3), PAPER, np.uint8)
    text = label(readable(title, "model", None), size, PAPER)[:, :width]
    top = max((strip.shape[0] - text.shape[0]) // 2, 0)
    strip[top : top + text.shape[0], : text.shape[1]] = text[: strip.shape[0] - top]
    return np.vstack([strip, panel])


class PanelFolder:
    """The folder of a comparison, runs/compare unless told otherwise: one picture of panels for every picture."""

    def __init__(self, args: PredictArguments, comparisons: Sequence[Comparison]) -> None:
        """Nothing is made before the first picture."""
        self.path: Path | None = None
        self._args = args
        paths = [Path(model.path) for model in (comparisons[0].reference, *(each.other for each in comparisons))]
        names = [path.name for path in paths]
        self._titles = names if len(set(names)) == len(names) else list(map(str, paths))
        self._limits = [comparison.limits for comparison in comparisons]
        self._names = comparisons[0].reference.metadata.names
        self._stems = Stems()

    def write(self, compared: Compared) -> Path:
        """Write one picture; gives its path.

        Raises:
            OutputError: the folder cannot be made, or the disk is full.
        """
        if self.path is None:
            args = self._args
            self.path = run_folder(args.project or "runs", args.name or "compare", exist_ok=args.exist_ok)
        path, frame = Path(compared.item.path), compared.item.frame
        name = path.name if frame is None else f"{file_name_of(path.stem)}_{frame.number}.jpg"
        stem = self._stems.of_picture(name)
        target = self.path / f"{stem}.jpg"
        write_picture(target, side_by_side(compared, self._titles, self._limits, self._names))
        return target
