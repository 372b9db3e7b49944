"""What a model sees in the pictures of a data set, in the form that scoring takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.data.dataset import Dataset
from segkit.core.errors import SourceError
from segkit.core.images import ImageBatch, Letterbox, Picture
from segkit.core.images.items import Item
from segkit.core.images.reading import read_picture
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import Detections, select_by
from segkit.core.inference.low import LowMasks
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.results import Results
from segkit.core.inference.session import Computed, Prepared, Session
from segkit.core.metrics import Found
from segkit.core.metrics.masks import Cropped, Masks
from segkit.core.validation.shapes import Group

STEPS = ("preprocess", "inference", "postprocess")


class Seen(NamedTuple):
    """One picture with what was found in it: its place in the data set, the objects, and seconds by step.

    Few look at the results of a picture: they are made of the same objects when somebody does.
    """

    place: int
    picture: Picture
    found: Found
    result: Callable[[], Results]
    seconds: dict[str, float]


def look(
    session: Session,
    dataset: Dataset,
    groups: Iterator[Group],
    args: PredictArguments,
    at_once: int,
    on_error: Callable[[SourceError], None],
) -> Generator[Seen, None, None]:
    """Each picture with every class of every anchor above the threshold, in the order of the groups.

    Args:
        session: the model.
        dataset: where the pictures are.
        groups: which of them share an input.
        args: resolved arguments.
        at_once: most pictures in one run.
        on_error: called for a picture that can no longer be read; it is left out.
    """
    prepared = _prepared(session, dataset, groups, at_once)
    with closing(session.computed(prepared, len(dataset) // at_once)) as run:
        for done in map(partial(_noted, on_error), run):
            if done is not None:
                yield from _selected(session, done, args)


def look_again(
    session: Session, dataset: Dataset, args: PredictArguments, on_error: Callable[[SourceError], None]
) -> Generator[Seen, None, None]:
    """The same through several views of each picture, merged: the best class of an object only."""
    for place in range(len(dataset)):
        item = _read(dataset, place)
        for result in session.predict([item], args, on_error):
            rows = np.asarray(result.boxes.data, np.float64)
            masks = result.masks.rle() if result.masks is not None else []
            found = Found(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), masks)
            seconds = {step: (result.speed[step] or 0.0) / 1e3 for step in STEPS}
            yield Seen(place, result.orig_img, found, partial(_itself, result), seconds)


def _prepared(
    session: Session, dataset: Dataset, groups: Iterator[Group], at_once: int
) -> Iterator[Prepared | SourceError]:
    """Network input, made in runs of up to `at_once` pictures of a group."""
    for places, geometry in groups:
        for start in range(0, len(places), at_once):
            items, boxes = [], []
            for place, box in zip(places[start : start + at_once], geometry[start : start + at_once], strict=True):
                item = _read(dataset, place)
                if item.error is not None:
                    yield item.error
                else:
                    items.append(item)
                    boxes.append(box)
            if items:
                pictures = [item.picture for item in items if item.picture is not None]
                yield session.prepare(items, ImageBatch.placed(pictures, boxes))


def _read(dataset: Dataset, place: int) -> Item:
    """A picture of the data set under its place; an error where it is no longer what it was when it was listed."""
    sample = dataset[place]
    try:
        picture = read_picture(sample.path)
    except SourceError as error:
        return Item(place, str(sample.path), error=error)
    if picture.shape[:2] != sample.size:
        changed = SourceError(sample.path, "it has another size than when the data set was opened; start again")
        return Item(place, str(sample.path), error=changed)
    return Item(place, str(sample.path), picture)


def _noted(on_error: Callable[[SourceError], None], done: Computed | SourceError) -> Computed | None:
    if isinstance(done, SourceError):
        on_error(done)
        return None
    return done


def _selected(session: Session, done: Computed, args: PredictArguments) -> Iterator[Seen]:
    """Detections and masks of a run, picture by picture; what a run took is shared out evenly."""
    count = len(done.items)
    start = time.perf_counter()
    selections = select_by(done.raw, args, multi_label=True)
    shared = (time.perf_counter() - start) / count
    names = session.names(done.raw)
    for index, (item, detections) in enumerate(zip(done.items, selections, strict=True)):
        start = time.perf_counter()
        box = done.batch.geometry[index]
        detections, masks = _masks(done.raw.prototypes[index], detections, box)
        boxes, confidence = box.to_source(detections.xyxy), detections.confidence
        scored = masks.scored(box)
        found = Found(boxes.astype(np.float64), confidence.astype(np.float64), detections.classes, scored)
        spent = shared + time.perf_counter() - start
        times = dict(zip(STEPS, (done.batch.seconds / count, done.seconds / count, spent), strict=True))
        assert item.picture is not None
        result = partial(_results, item.picture, item.path, names, found, masks, box)
        yield Seen(item.index, item.picture, found, result, times)


class _Shared(NamedTuple):
    """Masks of some of which several detections share one: (N,) its number."""

    low: LowMasks
    numbers: NDArray[np.int64]

    def scored(self, box: Letterbox) -> Masks:
        """As scoring takes them."""
        windows = self.low.windows[True][:, [1, 0, 3, 2]].astype(np.float64)
        return Cropped(partial(self.low.crop, native=True), windows, box.source, self.numbers)

    def instances(self, box: Letterbox) -> InstanceMasks:
        """As results take them."""
        return InstanceMasks([self.low.instance(number) for number in self.numbers.tolist()], box, native=True)


def _masks(prototypes: NDArray[np.float32], detections: Detections, box: Letterbox) -> tuple[Detections, _Shared]:
    """The detections that have a mask, and these; an anchor that was found as several classes has one."""
    anchors = detections.anchors if (detections.anchors >= 0).all() else np.arange(len(detections))
    _, first, which = np.unique(anchors, return_index=True, return_inverse=True)
    low, inside = LowMasks.of(prototypes, detections[first], box, native=True)
    shown = low.showing(native=True)
    number_of = np.full(len(first), -1)
    number_of[inside[shown]] = shown
    numbers = number_of[which]
    has_mask = numbers >= 0
    return detections[has_mask], _Shared(low, numbers[has_mask])


def _results(
    picture: Picture, path: str, names: dict[int, str], found: Found, masks: _Shared, box: Letterbox
) -> Results:
    rows = np.column_stack([found.boxes, found.confidence, found.classes]).astype(np.float32)
    return Results(picture, path, names, rows, masks.instances(box))


def _itself(result: Results) -> Results:
    return result
