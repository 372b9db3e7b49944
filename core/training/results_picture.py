"""results.png: how losses and scores went over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.figures import lettering, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from segkit.core.training.record import EpochRecord

Floats = NDArray[np.float64]

_FIRST, _SECOND, _GREY = "#0b3d91", "#d1620b", "#9aa1ab"
_WIDE, _HIGH = 2.9, 2.1  # inches of a panel
_LEFT, _RIGHT, _BELOW, _ABOVE, _TITLE = 0.55, 0.15, 0.5, 0.35, 0.35

SMOOTH = 8
"""Epochs from which on a smoothed line is drawn, with the measured one pale behind it."""

_OUTLIER = 2.5
"""How many times as high as all else a beginning must be to be cut off."""


class Line(NamedTuple):
    """A line of a panel: its name and its values over the epochs, NaN where there is none."""

    name: str
    values: Floats


class Panel(NamedTuple):
    """One of the pictures; `is_share`: of values from 0 to 1."""

    title: str
    lines: Sequence[Line]
    is_share: bool


def draw_results(history: Sequence[EpochRecord], path: Path) -> None:
    """Write the picture.

    Args:
        history: at least one epoch.
        path: of the PNG.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: it cannot be written.
    """
    epochs = np.array([record.epoch for record in history], np.float64)
    best = next((record.epoch for record in reversed(history) if record.best), None)
    rows = [row for row in (_losses(history), _scores(history)) if row]
    with lettering({}, "Drawing results.png"):
        width = max(len(row) for row in rows) * (_LEFT + _WIDE + _RIGHT)
        height = len(rows) * (_ABOVE + _HIGH + _BELOW) + _TITLE
        figure = new_figure(width, height)
        told = f"{path.parent.name}, epoch {history[-1].epoch} of {history[-1].epochs}"
        figure.text(0.5, 1 - 0.5 * _TITLE / height, told, ha="center", va="center", fontsize=11)
        for down, row in enumerate(rows):
            bottom = height - _TITLE - (down + 1) * (_ABOVE + _HIGH + _BELOW) + _BELOW
            for across, panel in enumerate(row):
                left = across * (_LEFT + _WIDE + _RIGHT) + _LEFT
                place = (left / width, bottom / height, _WIDE / width, _HIGH / height)
                _draw(figure.add_axes(place), epochs, panel, best)
        save_figure(figure, path)


def smoothed(values: Floats) -> Floats:
    """(N,) the mean around each of N finite values, near ones counting more, at the ends of those that are there."""
    sigma = max(len(values) / 40, 1.0)
    half = int(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    sums, counts = (np.convolve(each, weights)[half : half + len(values)] for each in (values, np.ones(len(values))))
    return np.asarray(sums / counts, np.float64)


def _losses(history: Sequence[EpochRecord]) -> list[Panel]:
    """A panel a loss, of training and validation together: where they part, a network learns by heart."""
    names = dict.fromkeys(name for record in history for name in record.losses)
    return [
        Panel(
            name.replace("_", " "),
            _present(
                Line("train", np.array([record.losses.get(name, np.nan) for record in history])),
                Line("val", np.array([record.val_losses.get(name, np.nan) for record in history])),
            ),
            is_share=False,
        )
        for name in names
    ]


def _scores(history: Sequence[EpochRecord]) -> list[Panel]:
    """A panel a figure, of boxes and masks together."""
    found = []
    for name in ("precision", "recall", "mAP50", "mAP50-95"):
        lines = _present(
            *(
                Line(kind, np.array([record.metrics.get(f"metrics/{name}({letter})", np.nan) for record in history]))
                for kind, letter in (("box", "B"), ("mask", "M"))
            )
        )
        if lines:
            found.append(Panel(name, lines, is_share=True))
    return found


def _present(*lines: Line) -> list[Line]:
    return [line for line in lines if not np.isnan(line.values).all()]


def _draw(plot: Axes, epochs: Floats, panel: Panel, best: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _range(panel)
    for line, colour in zip(panel.lines, (_FIRST, _SECOND), strict=False):
        _draw_line(plot, epochs, line, colour, high)
    if best is not None and len(epochs) > 1:
        plot.axvline(best, color=_GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    plot.set_title(panel.title, fontsize=10)
    plot.set_xlabel("epoch" if best is None or len(epochs) == 1 else f"epoch (dotted: the best, {best})", fontsize=8)
    plot.tick_params(labelsize=8, length=2)
    plot.grid(color="#e6e8ec", linewidth=0.6)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    beside = 0.02 * (epochs[-1] - epochs[0]) or 0.5
    plot.set_xlim(epochs[0] - beside, epochs[-1] + beside)
    plot.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    plot.set_ylim(low, high)
    if panel.lines:
        plot.legend(fontsize=8, frameon=False, loc="best")


def _draw_line(plot: Axes, epochs: Floats, line: Line, colour: str, high: float) -> None:
    known = np.isfinite(line.values)
    x, y = epochs[known], line.values[known]
    if len(x) < SMOOTH:
        plot.plot(x, y, color=colour, linewidth=1.6, marker="o", markersize=3.5, label=line.name)
        return
    plot.plot(x, y, color=colour, linewidth=0.9, alpha=0.35)
    # A value far above all others would lift the mean of many epochs around it.
    plot.plot(x, smoothed(np.minimum(y, high)), color=colour, linewidth=1.8, label=line.name)


def _range(panel: Panel) -> tuple[float, float]:
    """The lowest and highest value shown. A beginning so high that the rest would be a flat line is cut off."""
    values = np.stack([line.values for line in panel.lines]) if panel.lines else np.zeros((1, 1))
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if panel.is_share:
        return 0.0, max(1.1 * high, 0.01)
    later = values[:, max(values.shape[1] // 20, 2) :]
    later = later[np.isfinite(later)]
    if values.shape[1] >= SMOOTH and len(later) and high > _OUTLIER * later.max() > 0:
        high = float(later.max() + 0.5 * (later.max() - later.min()))
    room = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    return low - room, high + room
