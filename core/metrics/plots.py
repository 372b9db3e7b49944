"""Curves and confusion matrices as PNG files, by the names that users of the best-known tool look for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from segkit.core.files import atomic_write
from segkit.core.metrics.curves import GRID
from segkit.core.metrics.figures import DOTS, QUICKLY, lettering, new_figure, save_figure, width_of
from segkit.core.metrics.results import Average, SegmentationMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Floats = NDArray[np.float64]

NAMED = 20
"""So many classes have a line of their own colour and a name beside it; of more, the lines are grey."""

NUMBERED = 30
"""So many classes have their numbers written into the cells of the confusion matrix."""

LABELLED = 120
"""So many classes have their names along the confusion matrix; of more, every so many have their number."""

_INK, _GREY = "#0b3d91", "#b8bec8"
_LEGEND = 9  # points


def save_plots(metrics: SegmentationMetrics, folder: str | Path) -> list[Path]:
    """Draw everything into `folder`, which is made; gives the files.

    BoxPR_curve.png, BoxF1_curve.png, BoxP_curve.png, BoxR_curve.png, the same of Mask where masks were scored,
    confusion_matrix.png and confusion_matrix_normalized.png (of boxes), and those with the prefix mask_.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    drawn: list[Path] = []
    with lettering(metrics.names, "Drawing curves and confusion matrices") as names:
        for prefix, average in zip(("Box", "Mask"), metrics.averages, strict=False):
            for figure, name in _curves(average, names):
                drawn.append(save_figure(figure, folder / f"{prefix}{name}_curve.png"))
        empty = _EmptyMatrix(names, max(metrics.names))
        for prefix, kind, matrix in zip(("", "mask_"), ("boxes", "masks"), metrics.confusion_matrices, strict=False):
            for values, ending in ((matrix.matrix, ""), (matrix.normalised(), "_normalized")):
                drawn.append(empty.save(values, kind, folder / f"{prefix}confusion_matrix{ending}.png"))
    return drawn


class _Margins(NamedTuple):
    """Room around the axes for what stands there, in inches: matplotlib would draw twice to find out."""

    left: float
    bottom: float
    right: float
    top: float


def _framed(width: float, height: float, margins: _Margins) -> tuple[Figure, Axes]:
    """Axes of that size in inches."""
    whole = width + margins.left + margins.right, height + margins.bottom + margins.top
    figure = new_figure(*whole)
    place = (margins.left / whole[0], margins.bottom / whole[1], width / whole[0], height / whole[1])
    return figure, figure.add_axes(place)


# -- curves ---------------------------------------------------------------------------------------------------------


def _curves(average: Average, names: Mapping[int, str]) -> Iterator[tuple[Figure, str]]:
    lines = average.lines
    ap = [f"{value:.3f}" for value in average.ap50]
    title = f"all classes {average.map50:.3f} AP50"
    yield _lines(lines.pr, average, names, ("Recall", "Precision"), title, ap), "PR"
    for name, values in (("F1", lines.f1), ("Precision", lines.precision), ("Recall", lines.recall)):
        mean = values.mean(axis=0) if len(values) else np.zeros(len(GRID))
        at = lines.best if name == "F1" else int(mean.argmax())
        title = f"all classes {mean[at]:.2f} at {GRID[at]:.3f}"
        letter = name if name == "F1" else name[0]
        yield _lines(values, average, names, ("Confidence", name), title, None), letter


def _lines(
    values: Floats, average: Average, names: Mapping[int, str], axes: tuple[str, str], title: str, notes: Any
) -> Figure:
    """One line a class and a strong one for their mean."""
    colours = _colours(len(values))
    labels = average.ap_class_index.tolist()
    if len(labels) == 1:
        title = title.replace("all classes", names[labels[0]])
    named = len(values) <= NAMED
    texts = [names[label] if notes is None else f"{names[label]}  {notes[row]}" for row, label in enumerate(labels)]
    beside = width_of([title, *(texts if named else ())], _LEGEND) + 0.7
    figure, plot = _framed(6.4, 4.4, _Margins(0.7, 0.6, beside, 0.4))
    for row, text in enumerate(texts if len(texts) > 1 else ()):
        plot.plot(GRID, values[row], linewidth=1.2 if named else 0.6, color=colours[row], label=_unhidden(text, named))
    if len(values):
        plot.plot(GRID, values.mean(axis=0), linewidth=3, color=_INK, label=title)
    else:
        plot.text(0.5, 0.5, "there are no objects", ha="center", va="center", color="#606060")
    plot.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=axes[0], ylabel=axes[1])
    kind = "boxes" if average.letter == "B" else "masks"
    plot.set_title(f"{axes[1]} over {axes[0].lower()}, {kind}, IoU 0.5")
    plot.grid(color="#e6e8ec", linewidth=0.6)
    plot.set_axisbelow(True)
    if len(values):
        plot.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=_LEGEND)
    return figure


def _unhidden(name: str, named: bool) -> str:
    """A name that begins with an underscore is left out of a legend, unless an invisible character comes first."""
    return f"\N{ZERO WIDTH SPACE}{name}" if named and name.startswith("_") else name if named else "_"


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab20"](index) for index in range(count)] if count <= NAMED else [_GREY] * count


# -- confusion matrices ---------------------------------------------------------------------------------------------


class _EmptyMatrix:
    """Rows found, columns true, the background last. The darker, the more; what is nowhere stays white.

    The frame with the names takes most of the time and is the same for all matrices: it is drawn once.
    """

    def __init__(self, names: Mapping[int, str], last: int) -> None:
        """Draw what the matrices of classes 0 to `last` share."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        count = last + 1
        side = float(np.clip(0.2 * count, 4.4, 12))
        places, texts = _ticks(count, names)
        size = float(np.clip(side * 72 / len(places) * 0.75, 5, 10))
        room = width_of(texts, size) + 0.5
        figure, plot = _framed(side, side, _Margins(room, room, 0.09 * side + 0.6, 0.4))
        plot.set(xlim=(-0.5, count + 0.5), ylim=(count + 0.5, -0.5), xlabel="True", ylabel="Predicted")
        plot.set_xticks(places, texts, rotation=90, fontsize=size)
        plot.set_yticks(places, texts, fontsize=size)
        plot.tick_params(length=2)
        left, bottom, width, height = plot.get_position().bounds
        self._figure, self._plot = figure, plot
        self._canvas = cast(Any, FigureCanvasAgg(figure))  # matplotlib has no types here
        self._canvas.draw()
        self._frame = self._canvas.copy_from_bbox(figure.bbox)
        self._beside = (left + 1.03 * width, bottom, 0.03 * width, height)

    def save(self, values: NDArray[Any], kind: str, path: Path) -> Path:
        """Draw counts, or shares, of `kind` into the frame.

        Raises:
            OutputError: the file cannot be written.
        """
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap, PowerNorm
        from matplotlib.image import imsave

        plot, whole = self._plot, bool(np.issubdtype(values.dtype, np.integer))
        top = max(float(values.max()), 1.0)
        blues = ListedColormap(colormaps["Blues"](np.linspace(0.15, 1, 256)))  # one is seen beside none
        shown = np.where(values > 0, values, np.nan)
        image = plot.imshow(shown, cmap=blues, norm=PowerNorm(0.5, 0, top), interpolation="nearest")
        numbers = _write_numbers(plot, values, top, whole) if len(values) - 1 <= NUMBERED else []
        plot.set_title(f"Confusion matrix, {kind}, " + ("counts" if whole else "shares of the true objects"))
        scale = self._figure.add_axes(self._beside)
        bar = self._figure.colorbar(image, cax=scale)
        self._canvas.restore_region(self._frame)
        for artist in (image, *numbers, *plot.spines.values(), plot.title):
            plot.draw_artist(artist)
        self._figure.draw_artist(scale)
        bar.remove()
        for artist in (image, *numbers):
            artist.remove()
        with atomic_write(path) as partial:
            imsave(partial, np.asarray(self._canvas.buffer_rgba()), format="png", dpi=DOTS, pil_kwargs=QUICKLY)
        return path


def _write_numbers(plot: Axes, values: NDArray[Any], top: float, whole: bool) -> list[Text]:
    size = 10 if len(values) <= 12 else 6
    written = []
    for row, column in np.argwhere(values > 0):
        value = values[row, column]
        text = str(int(value)) if whole else f"{value:.2f}"
        colour = "white" if value > top * 0.4 else "#202020"
        written.append(plot.text(column, row, text, ha="center", va="center", fontsize=size, color=colour))
    return written


def _ticks(count: int, names: Mapping[int, str]) -> tuple[list[int], list[str]]:
    """Where names stand along a matrix, and which."""
    if count <= LABELLED:
        return list(range(count + 1)), [names.get(label, str(label)) for label in range(count)] + ["background"]
    step = -(-count // 50)
    places = [*range(0, count - step // 2, step), count]
    return places, [*map(str, places[:-1]), "background"]
