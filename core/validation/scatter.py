"""Accuracy over latency as a picture: a point a file, up and to the left is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segkit.core.errors import MissingDependencyError
from segkit.core.files import atomic_write
from segkit.core.validation.label_places import Box, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {"fp32": ("#1f5fbf", "o"), "fp16": ("#c2571a", "s"), "int8": ("#2e7d4f", "^")}
"""Colour and shape of points by precision: the shape is for those who cannot tell the colours apart."""

LEAST = 0.02
"""Of accuracy, from the lower edge to the upper: less would make a mountain of noise."""

GAP = 13.5
"""Pixels from the centre of a point to its label."""


class Dot(NamedTuple):
    """A file: its name, its precision, milliseconds a picture, and mask AP."""

    name: str
    precision: str
    milliseconds: float
    accuracy: float


def write_scatter(dots: Sequence[Dot], path: Path, title: str) -> None:
    """Write a PNG of 1200x800 pixels.

    Raises:
        OutputError: it cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(["segkit[val]"], "The plot of a benchmark") from None
    figure = Figure(figsize=(8, 16 / 3), dpi=150)
    axes = figure.add_axes((0.1, 0.11, 0.87, 0.77))
    for precision, (colour, shape) in LOOKS.items():
        chosen = [dot for dot in dots if dot.precision == precision]
        if chosen:
            x, y = [dot.milliseconds for dot in chosen], [dot.accuracy for dot in chosen]
            axes.scatter(x, y, s=48, color=colour, marker=shape, label=precision, zorder=3)
    _dress(figure, axes, dots, title)
    _label(axes, dots)
    with atomic_write(path) as target:
        figure.savefig(target, format="png")


def _dress(figure: Figure, axes: Axes, dots: Sequence[Dot], title: str) -> None:
    """Time from 0 on, and room around the points."""
    high, low = max(dot.accuracy for dot in dots), min(dot.accuracy for dot in dots)
    half = max(high - low, LEAST) * 0.65
    axes.set_ylim((high + low) / 2 - half, (high + low) / 2 + half)
    axes.set_xlim(0, 1.25 * max(dot.milliseconds for dot in dots))
    axes.set_xlabel("network alone, ms a picture")
    axes.set_ylabel("mask AP50-95")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(LOOKS), frameon=False, borderaxespad=0)
    figure.text(0.1, 0.945, title, fontsize=10, parse_math=False)


def _label(axes: Axes, dots: Sequence[Dot]) -> None:
    """Names beside the points, with a line to those that are further away. Everything in pixels of the figure."""
    texts = [axes.annotate(dot.name, (0, 0), xycoords="figure pixels", fontsize=9, parse_math=False) for dot in dots]
    extents = [text.get_window_extent() for text in texts]
    points = [axes.transData.transform((dot.milliseconds, dot.accuracy)) for dot in dots]
    frame = axes.get_window_extent()
    boxes = place(
        [(float(x), float(y)) for x, y in points],
        [(each.width + 4, each.height + 4) for each in extents],
        Box(frame.x0, frame.y0, frame.x1, frame.y1),
        GAP,
    )
    for text, (x, y), box in zip(texts, points, boxes, strict=True):
        text.set_position((box.left + 2, box.bottom + 2))
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if abs(near[0] - x) + abs(near[1] - y) > 2 * GAP:
            line = {"arrowstyle": "-", "color": "#999999", "lw": 0.7}
            axes.annotate("", near, (x, y), "figure pixels", "figure pixels", line)
