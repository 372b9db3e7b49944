"""One list of objects from what several windows of a picture show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Size
from segkit.core.inference._comparing import SAME, compared, overlaps
from segkit.core.inference._placed import Part
from segkit.core.inference._resample import Window
from segkit.core.inference._sightings import Sightings
from segkit.core.inference._uniting import Pool, Shown

COMPLETE = 0.85
"""Agreement with the mask that the whole picture shows from which parts are taken to be all of an object."""


def merged(found: Sequence[tuple[Window, Sightings]], size: Size, *, iou: float, agnostic: bool) -> Sightings:
    """What tiles of a picture and the picture as a whole show, each object once, best first.

    - An object that a tile shows whole is taken from there. A part of it that the border of another tile has cut off
      is dropped.
    - Parts that agree where their tiles overlap become one object: the union of their masks and boxes. A part alone is
      dropped where another tile looked as well and did not see it.
    - What the whole picture shows has coarser masks. It is an object where the tiles show none, or only parts that do
      not add up to it; these are dropped.

    The confidence is the highest that any window gave. Objects of one window are never compared: it has told them
    apart.

    Args:
        found: windows, each once, and what they show: at least one tile, and perhaps the whole picture.
        size: (height, width) of the picture.
        iou: of boxes shown whole that overlap by more than this one falls, whatever their masks, as within a window.
        agnostic: compare objects of different classes too.
    """
    whole = Window(0, 0, *size)
    shown = Pool([each for each in found if each[0] != whole], size, iou, agnostic).shown()
    wide = next((sightings for window, sightings in found if window == whole), shown.objects[np.empty(0, np.int64)])
    return _overlaid(shown, wide, iou, agnostic)


def _overlaid(shown: Shown, wide: Sightings, iou: float, agnostic: bool) -> Sightings:
    """What the tiles and what the whole picture shows, best first."""
    tiled, kept = shown.objects, ~shown.doubtful
    sure, wide_sure = tiled.confidence.copy(), wide.confidence.copy()
    settled, added = np.zeros_like(kept), []
    for index in np.argsort(-wide.confidence, kind="stable").tolist():
        overlap = overlaps(tiled.xyxy, wide.xyxy[index])
        overlap[settled | (not agnostic) & (tiled.classes != wide.classes[index])] = 0
        same, parts = _matches(shown, wide.masks[index], overlap, iou)
        kept[parts] = False
        if same:
            kept[same] = settled[same] = True
            sure[same] = np.maximum(sure[same], wide_sure[index])
        else:
            wide_sure[index] = max([wide_sure[index], *sure[parts]])
            added.append(index)
    found = replace(tiled, confidence=sure)[np.flatnonzero(kept)]
    every = Sightings.joined([found, replace(wide, confidence=wide_sure)[np.array(added, np.int64)]])
    return every.best(len(every))


def _matches(shown: Shown, mask: Part, overlap: NDArray[np.float32], iou: float) -> tuple[list[int], list[int]]:
    """Objects that a mask of the whole picture shows too, and those that are only parts of what it shows."""
    same, parts = [], []
    for other in np.flatnonzero(overlap).tolist():
        cut = bool(shown.cut[other])
        pixels = compared(shown.objects.masks[other], mask, None, contained=cut)
        if pixels.agreement > (COMPLETE if cut else SAME) or (not cut and overlap[other] > iou):
            same.append(other)
        elif cut and pixels.contained > SAME:
            parts.append(other)
    return same, parts
