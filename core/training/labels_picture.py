"""labels.jpg: what is labelled in a training set. How many objects of which class, where, and how large."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit.core.ink.colors import color_of
from segkit.core.metrics.figures import lettering, new_figure, save_figure, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from segkit.core.data.dataset import Dataset

Floats = NDArray[np.float64]

_PLAIN = "#5b86c4"

NAMED = 100
"""So many classes have their name below their bar; of more, every so many have their number."""

COUNTED = 30
"""So many classes have the number of their objects above their bar."""

_CELLS = 48
"""Of a heat map, along each side."""

_WIDE, _HIGH, _BARS = 2.6, 2.6, 2.4  # inches: a panel below, and the height of the bars
_LEFT, _RIGHT, _BELOW, _ABOVE = 0.65, 0.2, 0.55, 0.35
_WIDTH = 4 * (_LEFT + _WIDE + _RIGHT)
_ROW = _WIDTH - _LEFT - _RIGHT
_WIDEST = 1.2  # inches of a bar


def draw_labels_picture(dataset: Dataset, path: Path) -> None:
    """Write the picture as JPEG.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: it cannot be written.
    """
    classes = np.concatenate([sample.labels.classes for sample in dataset])
    boxes = np.concatenate([sample.labels.boxes for sample in dataset]).astype(np.float64)
    counts = np.bincount(classes, minlength=max(dataset.names, default=0) + 1)
    with lettering(dataset.names, "Drawing labels.jpg") as names:
        size = float(np.clip(820 / len(counts), 5, 9))
        texts = [names.get(index, str(index)) for index in range(len(counts))] if len(counts) <= NAMED else []
        longest = width_of(texts, size)
        turned = longest > 0.9 * _ROW / len(counts)
        below = _BELOW + (longest if turned else 0.15)
        height = _ABOVE + _BARS + below + _ABOVE + _HIGH + _BELOW
        figure = new_figure(_WIDTH, height)
        whole = np.array([_WIDTH, height, _WIDTH, height])
        plot = figure.add_axes(tuple(np.array((_LEFT, height - _ABOVE - _BARS, _ROW, _BARS)) / whole))
        _draw_classes(plot, counts)
        if texts:
            plot.set_xticks(range(len(texts)), texts, rotation=90 if turned else 0, fontsize=size)
        present = np.count_nonzero(counts)
        plot.set_title(_told(len(classes), int(present), len(dataset)), fontsize=11)
        for across, draw in enumerate((_draw_places, _draw_sides, _draw_lengths, _draw_areas)):
            left = across * (_LEFT + _WIDE + _RIGHT) + _LEFT
            draw(figure.add_axes(tuple(np.array((left, _BELOW, _WIDE, _HIGH)) / whole)), boxes)
        save_figure(figure, path)


def _told(objects: int, classes: int, pictures: int) -> str:
    counts = {"object": objects, "class": classes, "picture": pictures}
    plurals = {"object": "objects", "class": "classes", "picture": "pictures"}
    words = [f"{count} {name if count == 1 else plurals[name]}" for name, count in counts.items()]
    return f"{words[0]} of {words[1]} in {words[2]}"


def _draw_classes(plot: Axes, counts: NDArray[np.int64]) -> None:
    """A bar a class, in the colour in which its objects are drawn where bars are wide enough to see it."""
    places = np.arange(len(counts))
    wide = min(0.8 if len(counts) <= NAMED else 1.0, _WIDEST * len(counts) / _ROW)
    colours = [tuple(channel / 255 for channel in color_of(index)[::-1]) for index in places.tolist()]
    plot.bar(places, counts, width=wide, color=colours if len(counts) <= NAMED else _PLAIN)
    if len(counts) <= COUNTED:
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            plot.annotate(str(count), (place, count), (0, 2), textcoords="offset points", ha="center", fontsize=7)
    plot.set_xlim(-0.6, len(counts) - 0.4)
    plot.set_ylim(0, max(1.12 * float(counts.max(initial=0)), 1.0))
    _dress(plot, "" if len(counts) <= NAMED else "class", "objects")
    plot.grid(visible=False, axis="x")


def _draw_places(plot: Axes, boxes: Floats) -> None:
    _draw_heat(plot, (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2)
    plot.invert_yaxis()  # as in a picture
    _dress(plot, "x", "y", "centres")


def _draw_sides(plot: Axes, boxes: Floats) -> None:
    _draw_heat(plot, boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    _dress(plot, "width", "height", "widths and heights")


def _draw_lengths(plot: Axes, boxes: Floats) -> None:
    edges = np.linspace(0, 1, _CELLS + 1)
    for name, values, colour in (
        ("width", boxes[:, 2] - boxes[:, 0], "#0b3d91"),
        ("height", boxes[:, 3] - boxes[:, 1], "#d1620b"),
    ):
        counts, _ = np.histogram(np.clip(values, 0, 1), edges)
        plot.stairs(counts, edges, color=colour, linewidth=1.4, label=name)
    plot.set_xlim(0, 1)
    plot.set_ylim(0, None)
    plot.legend(fontsize=8, frameon=False)
    _dress(plot, "share of the picture's side", "objects", "lengths of sides")


def _draw_areas(plot: Axes, boxes: Floats) -> None:
    """In powers of ten: most data sets have objects of all sizes."""
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(1e-9).prod(axis=1)
    low = float(np.clip(np.floor(np.log10(areas.min(initial=1.0))), -6, -2))
    edges = np.logspace(low, 0, _CELLS // 2 + 1)
    counts, _ = np.histogram(np.clip(areas, edges[0], 1), edges)
    places = np.linspace(0, 1, len(edges))
    plot.stairs(counts, places, fill=True, color=_PLAIN)
    powers = np.arange(low, 1)
    plot.set_xticks(1 - powers / low, [f"{100 * 10**power:g} %" for power in powers.tolist()])
    plot.set_xlim(0, 1)
    _dress(plot, "share of the picture's area", "objects", "areas of boxes")


def _draw_heat(plot: Axes, x: Floats, y: Floats) -> None:
    """How many objects are where, 0 to 1 along both sides; one is seen beside none."""
    from matplotlib.colors import PowerNorm

    counts, _, _ = np.histogram2d(np.clip(y, 0, 1), np.clip(x, 0, 1), _CELLS, ((0, 1), (0, 1)))
    shown = np.where(counts > 0, counts, np.nan)
    norm = PowerNorm(0.5, 0, max(float(counts.max(initial=0)), 1.0))
    plot.imshow(shown, cmap="viridis_r", norm=norm, extent=(0, 1, 0, 1), origin="lower", interpolation="nearest")
    plot.set_aspect("auto")


def _dress(plot: Axes, x: str, y: str, title: str = "") -> None:
    plot.set_xlabel(x, fontsize=8)
    plot.set_ylabel(y, fontsize=8)
    plot.tick_params(axis="y", labelsize=8, length=2)
    if title:
        plot.tick_params(axis="x", labelsize=8, length=2)
        plot.set_title(title, fontsize=10)
    if not plot.images:  # a grid would be drawn over a map
        plot.grid(color="#e6e8ec", linewidth=0.6)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
