"""tune.png: how the scores went from trial to trial, and how they hang together with every argument."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.metrics.figures import lettering, new_figure, save_figure
from segkit.core.training.tuning.row import Row, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from segkit.core.training.tuning.space import Places

Floats = NDArray[np.float64]

_DOT, _PALE, _BEST, _LINE = "#0b3d91", "#9db4dd", "#d1620b", "#d1620b"
_FAILED = "#b3261e"
ACROSS = 4
"""Panels of arguments beside each other."""

_WIDE, _HIGH = 2.35, 1.65  # inches of such a panel
_LEFT, _RIGHT, _BELOW, _ABOVE, _TITLE = 0.55, 0.1, 0.35, 0.35, 0.4
_TOP = 2.4  # inches of the panel above all

MEANINGFUL = 8
"""Trials from which on a correlation is told."""


def draw_tuning(rows: Sequence[Row], places: Places, path: Path) -> None:
    """Write the picture.

    Args:
        rows: the trials.
        places: where was looked.
        path: of the PNG.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: it cannot be written.
    """
    scored = [row for row in rows if row.fitness is not None]
    together = {name: correlation(scored, name) for name in places}
    names = sorted(places, key=lambda name: -abs(together[name] or 0.0))
    with lettering({}, "Drawing tune.png"):
        down = -(-len(names) // ACROSS)
        width = ACROSS * (_LEFT + _WIDE + _RIGHT)
        height = _TITLE + _TOP + _BELOW + down * (_ABOVE + _HIGH + _BELOW)
        figure = new_figure(width, height)
        best = best_of(rows)
        told = "no trial has ended yet" if best is None else f"best: trial {best.number}, {best.fitness:.4f}"
        figure.text(
            0.5, 1 - 0.5 * _TITLE / height, f"{path.parent.name}, {len(rows)} trials; {told}",
            ha="center", va="center", fontsize=11,
        )  # fmt: skip
        high = max([row.fitness or 0.0 for row in scored], default=0.0) * 1.08 or 0.01
        top = (_LEFT / width, 1 - (_TITLE + _TOP) / height, 1 - (_LEFT + _RIGHT) / width, (_TOP - 0.3) / height)
        _draw_course(figure.add_axes(top), rows, high)
        for index, name in enumerate(names):
            row, column = divmod(index, ACROSS)
            bottom = height - _TITLE - _TOP - _BELOW - (row + 1) * (_ABOVE + _HIGH + _BELOW) + _BELOW
            left = column * (_LEFT + _WIDE + _RIGHT) + _LEFT
            place = (left / width, bottom / height, _WIDE / width, _HIGH / height)
            _draw_argument(figure.add_axes(place), scored, name, places[name], together[name], high)
        save_figure(figure, path)


def correlation(rows: Sequence[Row], name: str) -> float | None:
    """How far the score rises with an argument, -1 to 1, by ranks; None for words, or where too few trials tell it."""
    pairs = [(row.values[name], row.fitness) for row in rows if isinstance(row.values.get(name), int | float)]
    if len(pairs) < MEANINGFUL:
        return None
    values, scores = (_ranks(np.array(each, np.float64)) for each in zip(*pairs, strict=True))
    spread = values.std() * scores.std()
    return float(np.mean((values - values.mean()) * (scores - scores.mean())) / spread) if spread else None


def _ranks(values: Floats) -> Floats:
    """(N,) the rank of each, that of equals being the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((2 * ends - counts - 1) / 2)[places], np.float64)


def _draw_course(plot: Axes, rows: Sequence[Row], high: float) -> None:
    """Scores by trial; a line for the best so far."""
    from matplotlib.ticker import MaxNLocator

    kinds = (("complete", _DOT, "trained to its end"), ("pruned", _PALE, "ended early"))
    for state, colour, label in kinds:
        found = [(row.number, row.fitness) for row in rows if row.state == state and row.fitness is not None]
        if found:
            at, scores = (list(each) for each in zip(*found, strict=True))
            plot.scatter(at, scores, s=18, zorder=3, color=colour, label=label)
    if failed := [row.number for row in rows if row.state == "failed"]:
        plot.scatter(failed, [0.0] * len(failed), s=30, marker="x", color=_FAILED, label="failed", zorder=3)
    course = [(row.number, row.fitness) for row in rows if row.state == "complete" and row.fitness is not None]
    if course:
        tops = np.maximum.accumulate(np.array([score for _, score in course], np.float64))
        ends = [*(number for number, _ in course), max(row.number for row in rows)]
        plot.step(ends, [*tops, tops[-1]], where="post", color=_LINE, linewidth=1.4, label="best so far", zorder=2)
    _frame(plot, high)
    plot.set_xlim(0.5, max([row.number for row in rows], default=1) + 0.5)
    plot.xaxis.set_major_locator(MaxNLocator(20, integer=True, min_n_ticks=1))
    plot.set_ylabel("box + mask mAP50-95", fontsize=8)
    plot.set_xlabel("trial", fontsize=8, labelpad=1)
    if plot.get_legend_handles_labels()[1]:
        plot.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=4)


def _draw_argument(plot: Axes, rows: Sequence[Row], name: str, place: Any, together: float | None, high: float) -> None:
    """Scores over the values of one argument."""
    known = [row for row in rows if name in row.values]
    best = best_of(known)
    aside = np.random.default_rng(0).uniform(-0.12, 0.12, len(known)).tolist()
    places = {word: index for index, word in enumerate(place)}
    at = [
        places[value] + shift if isinstance(value := row.values[name], str) else value
        for row, shift in zip(known, aside, strict=True)
    ]
    colours = [_BEST if row is best else _DOT if row.state == "complete" else _PALE for row in known]
    sizes = [26 if row is best else 12 for row in known]
    plot.scatter(at, [row.fitness or 0.0 for row in known], s=sizes, c=colours, zorder=3)
    told = "" if together is None else f"  ({together:+.2f})"
    plot.set_title(f"{name}{told}", fontsize=9, pad=4)
    if all(isinstance(each, str) for each in place):
        plot.set_xticks(range(len(place)), place)
        plot.set_xlim(-0.5, len(place) - 0.5)
    elif place.log:
        plot.set_xscale("log")
        plot.xaxis.set_major_formatter("{x:g}")
        plot.xaxis.set_minor_formatter("")
        plot.set_xlim(place.low / 1.2, place.high * 1.2)
    else:
        beside = 0.04 * (place.high - place.low)
        plot.set_xlim(place.low - beside, place.high + beside)
    _frame(plot, high)


def _frame(plot: Axes, high: float) -> None:
    plot.tick_params(labelsize=7, length=2)
    plot.grid(color="#e6e8ec", linewidth=0.6)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    plot.set_ylim(-0.03 * high, high)
