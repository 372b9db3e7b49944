"""Prediction through several views of a picture: tiles of a large one, mirrored and smaller copies, or both.

Each view is brought into the network's input like a picture of its own. What is found there is mapped back to the
picture and merged; only selected objects with their small masks are kept, never a raw output or a full frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from segkit.core.backend.base import Anchors, Selected
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import ImageBatch, Letterbox, Picture, Size
from segkit.core.images.items import Item
from segkit.core.inference._instances import Logits
from segkit.core.inference._placed import Placed
from segkit.core.inference._resample import Window
from segkit.core.inference._sightings import Sightings, strongest
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import Detections, select_by
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.merging import merged
from segkit.core.inference.overlap import overlapped
from segkit.core.inference.results import Results
from segkit.core.inference.tiling import VARIANTS, View, fits, tiles

if TYPE_CHECKING:
    from segkit.core.inference.session import Session

PER_VIEW = 300
"""Detections that a view may have however few are wanted in the end: the best objects are known after merging."""


def predict_views(
    session: Session, items: Iterable[Item], args: PredictArguments, on_error: Callable[[SourceError], None]
) -> Iterator[Results]:
    """Results in the order of the items. A picture that needs one plain view is predicted as without these options.

    The masks of the others are in pixels of the picture. `args.max_det` holds for the merged result; a view may hold as
    many, or `PER_VIEW` where that is more.

    Args:
        session: the model.
        items: pictures; unreadable ones go to `on_error`.
        args: resolved arguments with `tile`, `augment` or both.
        on_error: called for each unreadable item.

    Raises:
        OptionError: an item is a tensor, which is network input and cannot be looked at in another way.
        RuntimeFailure: the runtime failed, or computes no numbers.
    """
    plain = args.model_copy(update={"tile": None, "augment": False})
    for several, group in groupby(items, lambda item: _needs_views(item, args)):
        if several:
            for item in group:
                yield _Look(session, item, args).result()
        else:
            yield from session.predict(group, plain, on_error)


def _needs_views(item: Item, args: PredictArguments) -> bool:
    if item.picture is None:
        return False
    if item.tensor is not None:
        option = "tile" if args.tile else "augment"
        raise OptionError(
            f"Option {option} needs pictures: a tensor is network input as it is. Give a numpy or PIL picture instead."
        )
    return args.augment or (args.tile is not None and not fits(_size(item.picture), args.tile))


class _Prepared(NamedTuple):
    """Views of one shape, where they lie in the network's input, and that input."""

    views: list[View]
    boxes: list[Letterbox]
    batch: ImageBatch


class _Look:
    """One picture, seen through several views."""

    def __init__(self, session: Session, item: Item, args: PredictArguments) -> None:
        assert item.picture is not None
        self._session, self._item, self._args = session, item, args
        self._picture: Picture = item.picture
        self._limit = max(args.max_det, PER_VIEW)
        self._names: dict[int, str] = {}
        self._milliseconds: dict[str, float] = dict.fromkeys(("preprocess", "inference", "postprocess"), 0.0)

    def result(self) -> Results:
        """Look, merge, and put together."""
        args, size = self._args, _size(self._picture)
        windows = self._windows()
        seen: dict[Window, list[Sightings]] = {window: [] for window in windows}
        variants = VARIANTS if args.augment else VARIANTS[:1]
        views = [View(window, *variant) for variant in variants for window in windows]
        for view, sightings in self._sightings(views):
            seen[view.window].append(sightings)
        start = time.perf_counter()
        found = [(window, self._one(copies)) for window, copies in seen.items()]
        best = merged(found, size, iou=args.iou, agnostic=args.agnostic_nms) if len(found) > 1 else found[0][1]
        best = best.best(args.max_det)
        masks = InstanceMasks(best.masks, Letterbox.identity(size), native=True)
        boxes = np.column_stack([best.xyxy, best.confidence, best.classes]).astype(np.float32)
        self._count("postprocess", time.perf_counter() - start)
        item = self._item
        return Results(self._picture, item.path, self._names, boxes, masks, self._milliseconds, item.frame)

    def _windows(self) -> list[Window]:
        """The tiles and then the whole picture, for what is larger than a tile; or just the picture."""
        size, tile = _size(self._picture), self._args.tile
        whole = Window(0, 0, *size)
        return [whole] if tile is None or fits(size, tile) else [*tiles(size, tile, self._args.overlap), whole]

    def _one(self, copies: list[Sightings]) -> Sightings:
        """What the copies of one window show."""
        args = self._args
        if len(copies) == 1:
            return copies[0]
        return strongest(copies, iou=args.iou, limit=self._limit, agnostic=args.agnostic_nms)

    def _sightings(self, views: list[View]) -> Iterator[tuple[View, Sightings]]:
        """What every view shows. While the runtime computes a batch, the next one is cut out and letterboxed."""
        with closing(overlapped(self._compute, self._prepared(views), at_once=lambda _: False)) as run:
            yield from chain.from_iterable(map(self._seen, run))  # map keeps nothing: raw outputs are gone at once

    def _prepared(self, views: list[View]) -> Iterator[_Prepared]:
        """Network input of up to one batch of views; all of a batch are of one shape, so that it may be minimal."""
        metadata, args = self._session.metadata, self._args
        limit = args.batch if metadata.dynamic_batch or "batch" in args.model_fields_set else metadata.batch
        target, minimal = args.imgsz or metadata.imgsz, bool(args.rect)
        for _, alike in groupby(views, lambda view: (view.is_plain, view.size)):
            while some := list(islice(alike, limit)):
                start = time.perf_counter()
                boxes = [view.letterbox(target, minimal=minimal) for view in some]
                pixels = [view.pixels(self._picture, box) for view, box in zip(some, boxes, strict=True)]
                batch = ImageBatch(pixels, target, minimal=minimal)
                batch.make(["u8_nhwc"])  # every other form is made from it
                self._count("preprocess", time.perf_counter() - start - batch.seconds)
                yield _Prepared(some, boxes, batch)

    def _compute(self, work: _Prepared) -> tuple[_Prepared, Anchors | Selected, float]:
        return work, *self._session.compute(work.batch)

    def _seen(self, done: tuple[_Prepared, Anchors | Selected, float]) -> Iterable[tuple[View, Sightings]]:
        (views, boxes, batch), raw, seconds = done
        start = time.perf_counter()
        self._count("preprocess", batch.seconds)
        self._count("inference", seconds)
        self._names = self._session.names(raw)
        found = select_by(raw, self._args, max_det=self._limit)
        sightings = [_sighted(*each, raw) for each in enumerate(zip(views, boxes, found, strict=True))]
        self._count("postprocess", time.perf_counter() - start)
        return zip(views, sightings, strict=True)

    def _count(self, step: str, seconds: float) -> None:
        self._milliseconds[step] += seconds * 1e3


def _sighted(index: int, seen: tuple[View, Letterbox, Detections], raw: Anchors | Selected) -> Sightings:
    """The objects of one view of a batch, in pixels of the picture."""
    view, letterbox, found = seen
    masks, kept = InstanceMasks.from_prototypes(raw.prototypes[index], found, letterbox, native=True)
    found = found[kept]
    boxes = view.to_picture(letterbox.to_source(found.xyxy))
    logits = cast("tuple[Logits, ...]", masks._instances)  # prototypes give no other kind
    placed = [Placed(each, view.window, view.mirrored) for each in logits]
    return Sightings(boxes, found.confidence, found.classes, placed)


def _size(picture: Picture) -> Size:
    return picture.shape[0], picture.shape[1]
