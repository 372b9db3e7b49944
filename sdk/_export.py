"""What `YOLO.export` works out before the pipeline starts: the pictures to calibrate with."""

from __future__ import annotations

from itertools import islice
from typing import Any

from segkit.core.backend.base import Backend, Calibration
from segkit.core.backend.capability import FULL, Feature
from segkit.core.errors import OptionError


def calibration_from(backend: Backend, options: dict[str, Any]) -> Calibration | None:
    """Take `data` and `fraction` out of the options and read the pictures, where int8 is asked for.

    Raises:
        OptionError: they are given without int8, or the fraction is none.
        SourceError: no picture can be read.
    """
    data, fraction = options.pop("data", None), options.pop("fraction", None)
    if data is None and fraction is None:
        return None
    parsed = backend.format.parse_export_options(options)
    if backend.format.support[Feature.INT8] is not FULL or not parsed.needs_calibration():
        raise OptionError("Options data and fraction give pictures to calibrate int8 with: they need int8=True.")
    if data is None:
        raise OptionError("Option fraction is a share of data: give data=FOLDER too.")
    share = _share(fraction)

    from segkit.core.backend.calibration import PictureCalibration
    from segkit.core.images.sources import open_sources

    items = open_sources(data)
    count = items.known_length
    wanted = islice(items, None if count is None else max(round(count * share), 1))
    return PictureCalibration.of_pictures(
        (item.picture for item in wanted if item.picture is not None), parsed.imgsz, parsed.batch
    )


def _share(fraction: object) -> float:
    try:
        share = 1.0 if fraction is None else float(str(fraction))
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise OptionError.invalid("fraction", fraction, "give a share above 0 and up to 1")
    return share
