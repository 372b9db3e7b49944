"""What `YOLO.export` works out before the pipeline starts: the pictures to calibrate with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.backend.base import Backend, Calibration
from segkit.core.backend.capability import FULL, Feature
from segkit.core.backend.format import Format
from segkit.core.backend.options import Precision
from segkit.core.errors import OptionError

if TYPE_CHECKING:
    from segkit.core.images import Picture
    from segkit.core.images.sources import Sources

ENOUGH = 256
"""Pictures that are used unless `fraction` says otherwise: more change the ranges little, and cost time and space."""

PREFERRED = ("val", "train", "test")
"""Split of a data set that is used: the first that it has."""

_EVERY = 32

Report = Callable[[str], None]


def calibrates(fmt: Format) -> bool:
    """Whether int8 of a format wants to see pictures: it has int8, and of more than the weights."""
    if fmt.export_options is None or fmt.support[Feature.INT8] is not FULL:
        return False
    return fmt.export_options.model_construct(precision=Precision.INT8).needs_calibration()


def calibration_from(
    backend: Backend, options: dict[str, Any], report: Report = lambda text: None
) -> Calibration | None:
    """Take `data` and `fraction` out of the options and read the pictures, where int8 is asked for.

    Without a fraction `ENOUGH` pictures at most are read; where there are more, they are spread over the whole.

    Raises:
        OptionError: they are given without int8, or to a format that needs none, or the fraction is none.
        SourceError: no picture can be read.
    """
    data, fraction = options.pop("data", None), options.pop("fraction", None)
    if data is None and fraction is None:
        return None
    parsed = backend.format.parse_export_options(options)
    if backend.format.support[Feature.INT8] is FULL and not calibrates(backend.format):
        raise OptionError(
            f"Options data and fraction give pictures to calibrate int8 with: {backend.format.name} needs none, since "
            "it brings weights alone to 8 bits. Leave them out."
        )
    if not calibrates(backend.format) or not parsed.needs_calibration():
        need = "they need int8=True"
        if not calibrates(backend.format):
            need = f"{backend.format.name} has no int8. Leave them out"
        elif parsed.precision is Precision.INT8:
            need = "the other options ask for int8 without. Leave them out"
        raise OptionError(f"Options data and fraction give pictures to calibrate int8 with: {need}.")
    if data is None:
        raise OptionError("Option fraction is a share of data: give data=FOLDER too.")
    share = None if fraction is None else _share(fraction)

    from segkit.core.backend.calibration import PictureCalibration
    from segkit.core.images.kinds import expand
    from segkit.core.images.sources import Sources

    entries = expand(_pictures(data))
    count = Sources(entries).known_length
    if count is None and share is not None:
        raise OptionError("Option fraction is a share of data whose length is known: a live source has none.")
    wanted = ENOUGH if count is None else min(count, ENOUGH) if share is None else max(round(count * share), 1)
    spread = [entries[place * len(entries) // wanted] for place in range(min(wanted, len(entries)))]
    chosen = spread if wanted < len(entries) else entries
    return PictureCalibration.of_pictures(_read(Sources(chosen), wanted, report), parsed.imgsz, parsed.batch)


def _pictures(data: object) -> object:
    """A source: that of a data set's description, which may be known by its name or lie in the folder that is given,
    or what was given.
    """
    from segkit.core.data.description import is_description, read_description
    from segkit.core.data.named.catalogue import locate

    if isinstance(data, str | Path) and Path(data).is_dir():
        inside = (Path(data) / "data.yaml", Path(data) / f"{Path(data).resolve().name}.yaml")
        data = next((str(path) for path in inside if path.is_file()), data)
    if not is_description(data):
        return data
    description = read_description(str(locate(str(data))))
    return description.sources(next(split for split in PREFERRED if split in description.splits))


def _read(sources: Sources, wanted: int, report: Report) -> Iterator[Picture]:
    """The pictures that can be read; the others are counted."""
    unread = 0
    for number, item in enumerate(islice(sources, wanted)):
        if number % _EVERY == 0:
            report(f"reading calibration pictures: {number + 1} of {wanted}")
        if item.picture is None:
            unread += 1
        else:
            yield item.picture
    if unread:
        report(f"{unread} of {wanted} calibration pictures cannot be read and are left out")


def _share(fraction: object) -> float:
    try:
        share = float(str(fraction))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise OptionError.invalid("fraction", fraction, "give a share above 0 and up to 1")
    return share
