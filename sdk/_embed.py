"""Feature vectors of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import validate
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import ImageBatch, Size
from segkit.core.images.items import Item
from segkit.core.inference.arguments import PredictArguments
from segkit.core.notices import notice

if TYPE_CHECKING:
    from segkit.core.model.embedding import Embedder

Vector = NDArray[np.float32]
"""(D,) float32: one number for each channel of the layers that were asked for."""

USED = ("batch", "device", "imgsz", "rect", "verbose", "vid_stride")
"""The arguments of prediction that mean something here."""


def embed(
    embedder: Callable[[str | None], Embedder],
    metadata: Callable[[], Metadata],
    source: object,
    layers: Sequence[int] | None,
    options: Mapping[str, Any],
) -> list[Vector]:
    """One vector for each readable picture of `source`.

    Args:
        embedder: gives the network on a device; None is the model's own device.
        metadata: gives that of the weights.
        source: what `predict` takes.
        layers: numbers of layers, or None for the last one before the head.
        options: those of `USED`, and `on_error`.

    Raises:
        OptionError: an unknown option, a wrong value, or one that only detections have a use for; no such layer.
        SourceError: nothing can be read.
        RuntimeFailure: torch failed, e.g. for lack of memory.
    """
    if source is None:
        raise OptionError("embed needs a source: a file, folder, glob, list, array or tensor, e.g. source=bus.jpg.")
    options = dict(options)
    on_error = options.pop("on_error", None)
    for name in options:
        if name not in USED:
            raise OptionError.unknown(name, (*USED, "layers", "on_error"), "embed")
    args = validate(PredictArguments, options, "embed")
    network = embedder(args.device)
    numbers = network.layers(layers)

    from segkit.core.images.sources import open_sources

    items = open_sources(source, ahead=args.batch, vid_stride=args.vid_stride)
    errors: list[SourceError] = []

    def note(error: SourceError) -> None:
        errors.append(error)
        (on_error or (lambda err: notice(f"skipped: {err}")))(error)

    with closing(iter(items)) as pictures:
        found = list(_vectors(network, pictures, args, metadata(), numbers, note))
    if errors and not found:
        raise SourceError(errors[0].source, f"{errors[0].problem}; none of the {len(errors)} pictures could be read")
    return found


def _vectors(
    embedder: Embedder,
    items: Iterable[Item],
    args: PredictArguments,
    metadata: Metadata,
    layers: tuple[int, ...],
    on_error: Callable[[SourceError], None],
) -> Iterator[Vector]:
    from segkit.core.inference.session import rounded

    size = rounded(args.imgsz or metadata.imgsz, metadata.stride)
    minimal = metadata.letterbox == "minimal" if args.rect is None else args.rect
    for batch in _batches(_readable(items, on_error), size, minimal, args.batch):
        yield from embedder.vectors(batch, layers)


def _readable(items: Iterable[Item], on_error: Callable[[SourceError], None]) -> Iterator[Item]:
    for item in items:
        if item.error is None:
            yield item
        else:
            on_error(item.error)


def _batches(items: Iterable[Item], size: Size, minimal: bool, limit: int) -> Iterator[ImageBatch]:
    """Network input for up to `limit` items at a time; tensors, which are network input already, by their shape."""
    for shape, alike in groupby(items, lambda item: None if item.tensor is None else item.tensor.shape):
        while group := list(islice(alike, limit)):
            if shape is None:
                yield ImageBatch([item.picture for item in group if item.picture is not None], size, minimal=minimal)
            else:
                yield ImageBatch.from_f32(np.stack([item.tensor for item in group if item.tensor is not None]))
