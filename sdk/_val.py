"""Validation: what the model remembers, the data set that is meant, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import OptionRow, describe, validate
from segkit.core.errors import OptionError
from segkit.core.validation.arguments import ValArguments

if TYPE_CHECKING:
    from segkit.core.inference.session import Session
    from segkit.core.metrics import SegmentationMetrics


def val(
    session: Callable[[ValArguments], Session],
    metadata: Callable[[], Metadata],
    data: str | Path | None,
    options: Mapping[str, Any],
) -> SegmentationMetrics:
    """Validate; the data set is opened before the model is loaded, for it is what most often is amiss."""
    args = validate(ValArguments, options, "val")
    where = data or metadata().data
    if where is None:
        raise OptionError(
            "val needs a labelled data set, and this model remembers none: "
            "give data, e.g. data=coco128-seg.yaml, a COCO instances .json, or a folder with one of them."
        )
    from segkit.core.data.dataset import open_dataset
    from segkit.core.data.named.catalogue import locate
    from segkit.core.validation import validate_model

    place = locate(where, download=args.download, splits=[args.split])
    dataset = open_dataset(place, args.split, single_cls=args.single_cls, classes=args.classes)
    return validate_model(session(args), dataset, args)


def val_options() -> list[OptionRow]:
    """Name, type, default and help of everything that `val` accepts besides the data set."""
    return describe(ValArguments)
