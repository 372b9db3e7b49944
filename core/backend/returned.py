"""What a backend returns, held against the contract where segkit uses it: types and shapes, which cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segkit.core.backend.base import Anchors, Backend, Match, Selected
from segkit.core.backend.faults import words
from segkit.core.backend.metadata import Metadata
from segkit.core.errors import ModelFileError, SegkitError
from segkit.core.images import ImageBatch

Shape = tuple[int | None, ...]
"""None: any length."""


def metadata_of(backend: Backend, path: Path) -> Metadata | None:
    """As `Backend.read_metadata`, for a plugin that raises or returns something else, too.

    Raises:
        ModelFileError: it cannot be read.
    """
    name = backend.format.name
    try:
        read = backend.read_metadata(path)
    except (SegkitError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ModelFileError(path, f"the plugin of '{name}' fails to read its metadata ({words(error)})") from error
    if isinstance(read, Metadata | None):
        return read
    raise ModelFileError(path, f"the plugin of '{name}' reads {type(read).__name__} for its metadata")


def match_of(backend: Backend, path: Path) -> Match | None:
    """The backend's own opinion; failing that its suffixes, so that a damaged file still reaches the one who can
    explain it.
    """
    try:
        own = backend.recognises(path)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin that stumbles over a foreign file has not recognised it
        own = None
    return own if isinstance(own, Match) else Backend.recognises(backend, path)


def fault(raw: object, batch: ImageBatch) -> str | None:
    """Why `raw` is not what `Predictor.run(batch)` must return, in words; None where it is."""
    if isinstance(raw, Anchors):
        problems = _of_anchors(raw, batch)
    elif isinstance(raw, Selected):
        problems = _of_selected(raw, batch)
    else:
        return f"it returned {type(raw).__name__}, not Anchors or Selected"
    return next(filter(None, problems), None)


def _of_anchors(raw: Anchors, batch: ImageBatch) -> Iterator[str | None]:
    count = len(batch)
    yield _problem("boxes", raw.boxes, (count, 4, None))
    anchors = raw.boxes.shape[2]
    yield _problem("scores", raw.scores, (count, None, anchors))
    yield _problem("coefficients", raw.coefficients, (count, None, anchors))
    yield _problem("prototypes", raw.prototypes, _prototypes(batch, raw.coefficients.shape[1]))


def _of_selected(raw: Selected, batch: ImageBatch) -> Iterator[str | None]:
    yield _problem("prototypes", raw.prototypes, _prototypes(batch, None))
    for name in ("xyxy", "confidence", "classes", "coefficients"):
        images = len(getattr(raw, name))
        yield f"{name} has {images} entries, not {len(batch)}" if images != len(batch) else None
    for index, confidence in enumerate(raw.confidence):
        yield _problem(f"confidence[{index}]", confidence, (None,))
        rows = len(confidence)
        yield _problem(f"xyxy[{index}]", raw.xyxy[index], (rows, 4))
        yield _problem(f"classes[{index}]", raw.classes[index], (rows,), "i")
        yield _problem(f"coefficients[{index}]", raw.coefficients[index], (rows, raw.prototypes.shape[1]))


def _prototypes(batch: ImageBatch, channels: int | None) -> Shape:
    height, width = batch.size
    return len(batch), channels, height // 4, width // 4


def _problem(name: str, array: object, shape: Shape, kind: str = "f4") -> str | None:
    """`kind`: "f4" for float32, "i" for signed integers of any width."""
    if not isinstance(array, np.ndarray):
        return f"{name} is {type(array).__name__}, not a numpy array"
    if not array.dtype.str.startswith(kind, 1):
        return f"{name} is {array.dtype}, not {'float32' if kind == 'f4' else 'int'}"
    if array.ndim != len(shape) or any(side not in (None, has) for side, has in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        return f"{name} has the shape {array.shape}, not ({wanted})"
    return None
