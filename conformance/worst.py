"""A picture where two models differ, drawn for a report: the reference, the backend, and where their masks differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.conformance.comparison import LIMITS, Compared
from segkit.conformance.instances import Seen, match
from segkit.conformance.objects import CONF
from segkit.conformance.panels import DIFFERENT, LARGEST, panels_of, titled
from segkit.conformance.tolerance import CROSSING
from segkit.core.backend import Precision
from segkit.core.images import Picture
from segkit.core.images.items import Item
from segkit.core.inference.saving import write_picture


def draw_worst(
    folder: Path,
    picture: Picture,
    one: Seen,
    other: Seen,
    title: str,
    names: Mapping[int, str],
    precision: Precision = Precision.FP32,
) -> dict[str, Path]:
    """Write a picture each of what the reference sees, of what the backend sees, and of the difference: a page puts
    them beside or below each other. Objects are marked that differ by more than `precision` explains.

    Returns:
        what is on a picture → its path.
    """
    compared = Compared(Item(0, "worst", picture), (one, other), (match(one, other, CONF, CROSSING[precision]),))
    panels = panels_of(compared, ["reference", title], [LIMITS[precision]], names)
    panels.append(titled(_difference(picture, one, other), "seen by one alone"))
    titles = ("reference", title, "in red: what only one of the two sees")
    paths = [folder / f"worst-{number}.png" for number in range(len(panels))]
    for path, panel in zip(paths, panels, strict=True):
        write_picture(path, panel)
    return dict(zip(titles, paths, strict=True))


def _difference(picture: Picture, one: Seen, other: Seen) -> Picture:
    """The picture in grey, and in red what only one of the two covers; as large as a panel."""
    shape = height, width = picture.shape[:2]
    scale = min(1.0, LARGEST / max(shape))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    grey = cv2.resize(picture.mean(2, dtype=np.float32) * np.float32(0.4), size, interpolation=cv2.INTER_AREA)
    panel = np.repeat(grey[..., None].astype(np.uint8), 3, 2)
    # A pixel is red if any part of it is: a line of one pixel must not pale in a picture that is made smaller.
    differs = (_covered(one, shape) ^ _covered(other, shape)).astype(np.float32)
    panel[cv2.resize(differs, size, interpolation=cv2.INTER_AREA) > 0] = DIFFERENT
    return panel


def _covered(seen: Seen, shape: tuple[int, int]) -> NDArray[np.bool_]:
    found = np.zeros(shape, np.bool_)
    for mask, top, left in seen.crops:
        found[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
    return found
