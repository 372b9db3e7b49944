"""Figures of matplotlib without pyplot, which keeps every one and changes the settings of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segkit.core.errors import MissingDependencyError
from segkit.core.files import atomic_write
from segkit.core.metrics.lettering import labels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 100
"""Pixels of an inch."""

QUICKLY = {"compress_level": 1}
"""For PNG files: with flat colours more effort makes no smaller file, and takes twice as long."""

FINELY = {"quality": 95, "subsampling": 0}
"""For JPEG files: letters stay sharp."""


@contextmanager
def lettering(names: Mapping[int, str], purpose: str) -> Iterator[dict[int, str]]:
    """The names as they can be drawn, while matplotlib draws with fonts that have their letters.

    Raises:
        MissingDependencyError: matplotlib is not installed; `purpose` says what needs it.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError(["segkit[val]"], purpose) from None
    readable, families = labels_of(names)
    plain: Any = {"font.family": families, "text.usetex": False, "text.parse_math": False, "axes.unicode_minus": False}
    with matplotlib.rc_context(plain):
        yield readable


def new_figure(width: float, height: float) -> Figure:
    """An empty one of that size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write it as PNG, or as JPEG where the name says so; gives the path.

    Raises:
        OutputError: it cannot be written.
    """
    is_jpeg = path.suffix == ".jpg"
    with atomic_write(path) as partial:
        figure.savefig(
            partial,
            format="jpeg" if is_jpeg else "png",
            dpi=DOTS,
            facecolor="white",
            pil_kwargs=dict(FINELY if is_jpeg else QUICKLY),
        )
    return path


def width_of(texts: Iterable[str], size: float) -> float:
    """Inches that the widest of some texts takes in letters of `size` points."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer, letters = cast(Any, RendererAgg)(1, 1, DOTS), FontProperties(size=size)  # no types here
    widths = (renderer.get_text_width_height_descent(text, letters, ismath=False)[0] for text in texts if text)
    return float(max(widths, default=0.0)) / DOTS
