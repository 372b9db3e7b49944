"""A loaded artefact that predicts: pictures in, Results out, the same way for every backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segkit.core.backend.base import Anchors, Backend, Selected
from segkit.core.backend.capability import Feature
from segkit.core.backend.format import Concurrency
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import LoadOptions
from segkit.core.backend.returned import metadata_of
from segkit.core.cores import physical
from segkit.core.errors import OptionError, RuntimeFailure, SourceError, UnsupportedError
from segkit.core.images import ImageBatch, Size, round_up
from segkit.core.images.sources import Item
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.decode import Detections, select_by
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.overlap import overlapped
from segkit.core.inference.results import Results
from segkit.core.inference.runner import RUNNERS, Runner
from segkit.core.inference.selection import within
from segkit.core.notices import notice

OnError = Callable[[SourceError], None]

MANY = 16
"""Batches after which it is worth while to load a second predictor."""


class Prepared(NamedTuple):
    """Pictures, and the network's input made of them."""

    items: list[Item]
    batch: ImageBatch


class Computed(NamedTuple):
    """The same with the raw outputs and the seconds that the runtime took."""

    items: list[Item]
    batch: ImageBatch
    raw: Anchors | Selected
    seconds: float


class Session:
    """Owns a predictor, its metadata and the rules of calling it. Safe to use from several threads."""

    def __init__(self, backend: Backend, path: Path, options: LoadOptions) -> None:
        """Load `path` for running.

        Raises:
            MissingDependencyError, UnsupportedError: the format cannot run here.
            ModelFileError, RuntimeFailure: the file cannot be loaded.
        """
        self.format = backend.format
        try:
            self.format.require(Feature.PREDICT)
        except UnsupportedError:
            if path.exists():
                metadata_of(backend, path)  # a damaged file runs nowhere: who must find a machine for it learns it here
            raise
        self.metadata: Metadata = metadata_of(backend, path) or Metadata()
        self._load = partial(RUNNERS[self.format.concurrency], backend, path)
        self._runner = self._load(options)
        self._options = options
        self._second: Runner | None = None
        self._opening = threading.Lock()
        self._checked = False
        self._views: frozenset[str] = frozenset()

    def close(self) -> None:
        """Free the runtime, after the runs of other threads; what is asked for later is refused."""
        self._runner.close()
        with self._opening:
            second, self._second = self._second, self._runner  # which refuses whoever comes later
        if second is not None:
            second.close()

    @property
    def device(self) -> str:
        """Where the runtime computes: "cpu", "cuda:0", …"""
        return self._options.device

    def input_size(self, args: PredictArguments) -> Size:
        """(height, width) of the network's input for these arguments.

        Raises:
            OptionError: the artefact has another, fixed size.
        """
        own = self.metadata.imgsz
        if args.rect and not self.metadata.dynamic_size:
            raise OptionError(
                f"Option rect=True changes the input size, but this model is fixed to {own[0]}x{own[1]}: "
                "leave rect out, or export with dynamic=True where the format has it."
            )
        if args.imgsz is None:
            return own
        if not self.metadata.dynamic_size and whole(args.imgsz, self.metadata.stride) != own:
            height, width = args.imgsz
            raise OptionError(
                f"Option imgsz={height},{width} is not usable: this model is fixed to {own[0]}x{own[1]}; "
                "export it with that imgsz, or with dynamic=True where the format has it."
            )
        return rounded(args.imgsz, self.metadata.stride)

    def resolve(self, args: PredictArguments) -> PredictArguments:
        """The arguments with the input size filled in, checked against this model before any picture is read.

        Raises:
            OptionError: an impossible size or class index.
        """
        count = len(self.metadata.names)
        wrong = [index for index in args.classes or () if index < 0 or (count and index >= count)]
        if wrong:
            known = f"the model has {count} classes, 0 to {count - 1}" if count else "an index starts at 0"
            raise OptionError.invalid("classes", wrong[0], known)
        args = within(args, self.metadata.selection)
        rect = self.metadata.letterbox == "minimal" if args.rect is None else args.rect
        return args.model_copy(update={"imgsz": self.input_size(args), "rect": rect})

    def predict(self, items: Iterable[Item], args: PredictArguments, on_error: OnError) -> Iterator[Results]:
        """Results in the order of the items.

        The runtime is kept busy: while it computes a batch, or two where there are many, the next one is read and
        letterboxed, and the caller has the results of the one before. So up to four batches are in memory. A live
        picture and a single one wait for nothing.

        Args:
            items: pictures; unreadable ones go to `on_error`.
            args: arguments, resolved or not.
            on_error: called for each unreadable item.

        Raises:
            RuntimeFailure: the runtime failed, or computes no numbers.
        """
        args = self.resolve(args)
        if args.tile or args.augment:
            from segkit.core.inference.views import predict_views

            yield from predict_views(self, items, args, on_error)
            return

        def finish(done: Computed | SourceError) -> list[Results]:
            if isinstance(done, SourceError):
                on_error(done)
                return []
            return self._results(done, args)

        with closing(self.computed(self._prepared(items, args))) as run:
            for results in map(finish, run):  # map keeps nothing: raw outputs are gone before the next batch is there
                yield from results

    def compute(self, batch: ImageBatch) -> tuple[Anchors | Selected, float]:
        """Raw outputs, and the seconds that the runtime took.

        Raises:
            RuntimeFailure: the runtime failed, or computes no numbers.
        """
        return self._timed(self._runner, batch)

    def _timed(self, runner: Runner, batch: ImageBatch) -> tuple[Anchors | Selected, float]:
        made, start = batch.seconds, time.perf_counter()
        raw = runner.run(batch)
        seconds = time.perf_counter() - start - (batch.seconds - made)
        self._views = batch.views
        if not self._checked:
            self._check_numbers(raw)
        return raw, seconds

    def _compute(self, runner: Callable[[], Runner], work: Prepared | SourceError) -> Computed | SourceError:
        if isinstance(work, SourceError):
            return work
        chosen = self._runner if _is_live(work) else runner()
        return Computed(*work, *self._timed(chosen, work.batch))

    def prepare(self, items: list[Item], batch: ImageBatch) -> Prepared:
        """Network input of pictures, its pixels already in the form that the predictor took the last time."""
        batch.make(self._views)
        return Prepared(items, batch)

    def computed(
        self, prepared: Iterator[Prepared | SourceError], expected: int = 0
    ) -> Generator[Computed | SourceError, None, None]:
        """The same with raw outputs, in order; the next batch is fetched while the runtime is busy.

        Threads that share one batch wait for each other after every layer, and for whoever prepares the next batch on
        the same cores. So after the first few batches, or at once where more are `expected`, two are computed at a
        time, with the threads shared out: one for each of two callers, the others for both. The second predictor that
        this takes is loaded once, and stays.
        """
        first = islice(prepared, 0 if expected > MANY else MANY) if self._can_share_out() else prepared
        yield from overlapped(partial(self._compute, lambda: self._runner), first, at_once=_is_live)
        yield from overlapped(partial(self._compute, self._shared_out), prepared, at_once=_is_live, lanes=2)

    def _can_share_out(self) -> bool:
        own = self.format.own_threads and self.format.concurrency is Concurrency.PARALLEL
        return own and self._options.device == "cpu" and self._threads > 1

    @property
    def _threads(self) -> int:
        return self._options.threads or physical()

    def _shared_out(self) -> Runner:
        """Computes two batches at a time with all threads, and one with all but one."""
        with self._opening:
            if self._second is None:
                self._second = self._load(self._options.model_copy(update={"threads": self._threads - 1}))
            return self._second

    def _prepared(self, items: Iterable[Item], args: PredictArguments) -> Iterator[Prepared | SourceError]:
        """Network input for each batch."""
        for group in self._groups(items, args):
            if isinstance(group, SourceError):
                yield group
                continue
            yield self.prepare(group, self._batch(group, args))

    def _groups(self, items: Iterable[Item], args: PredictArguments) -> Iterator[list[Item] | SourceError]:
        """Lists of up to one batch of readable items; tensors of different shapes are kept apart."""
        fixed = None if self.metadata.dynamic_batch else self.metadata.batch
        limit = args.batch if "batch" in args.model_fields_set or fixed is None else fixed
        group: list[Item] = []
        for item in items:
            if item.error is not None:
                yield item.error
                continue
            if group and _kind(item) != _kind(group[0]):
                yield group
                group = []
            group.append(item)
            if len(group) == limit:
                yield group
                group = []
        if group:
            yield group

    def _results(self, done: Computed, args: PredictArguments) -> list[Results]:
        start = time.perf_counter()
        pairs = zip(done.items, select_by(done.raw, args), strict=True)
        made = [self._result(*each, done.batch, done.raw, args) for each in enumerate(pairs)]
        spent = {
            "preprocess": done.batch.seconds,
            "inference": done.seconds,
            "postprocess": time.perf_counter() - start,
        }
        for result in made:
            result.speed.update({step: seconds * 1e3 / len(made) for step, seconds in spent.items()})
        return made

    def _batch(self, group: list[Item], args: PredictArguments) -> ImageBatch:
        if group[0].tensor is None:
            pictures = [item.picture for item in group if item.picture is not None]
            return ImageBatch(pictures, args.imgsz or self.metadata.imgsz, minimal=bool(args.rect))
        batch = ImageBatch.from_f32(np.stack([item.tensor for item in group if item.tensor is not None]))
        height, width = batch.size
        if not self.metadata.dynamic_size and batch.size != self.metadata.imgsz:
            own = self.metadata.imgsz
            raise OptionError(
                f"A tensor of {height}x{width} does not fit this model, which is fixed to {own[0]}x{own[1]}."
            )
        if height % self.metadata.stride or width % self.metadata.stride:
            raise OptionError(
                f"A tensor is network input as it is: its sides must be multiples of {self.metadata.stride}, not "
                f"{height}x{width}. Pad it, or give a numpy or PIL picture, which is letterboxed."
            )
        return batch

    def _result(
        self,
        index: int,
        pair: tuple[Item, Detections],
        batch: ImageBatch,
        raw: Anchors | Selected,
        args: PredictArguments,
    ) -> Results:
        item, found = pair
        assert item.picture is not None
        letterbox = batch.geometry[index]
        masks, kept = InstanceMasks.from_prototypes(raw.prototypes[index], found, letterbox, native=args.retina_masks)
        found = found[kept]
        boxes = np.column_stack([letterbox.to_source(found.xyxy), found.confidence, found.classes]).astype(np.float32)
        return Results(item.picture, item.path, self.names(raw), boxes, masks, frame=item.frame)

    def names(self, raw: Anchors | Selected | None = None) -> dict[int, str]:
        """Class names; numbered ones for a file that carries none."""
        names = self.metadata.names
        count = raw.scores.shape[1] if isinstance(raw, Anchors) else 0
        return names if len(names) >= count else {index: names.get(index, f"class {index}") for index in range(count)}

    def _check_numbers(self, raw: Anchors | Selected) -> None:
        """Once a session: a model whose outputs are not numbers would silently see nothing."""
        parts = (raw.boxes, raw.scores) if isinstance(raw, Anchors) else (*raw.xyxy, *raw.confidence)
        if not all(np.isfinite(part).all() for part in (*parts, raw.prototypes)):
            raise RuntimeFailure(
                self.format.name,
                "its outputs are not finite numbers (NaN or infinite weights, or an overflow in half precision)",
            )
        self._checked = True


def whole(size: Size, stride: int) -> Size:
    """`size` rounded up to multiples of the stride."""
    return round_up(size[0], stride), round_up(size[1], stride)


def rounded(size: Size, stride: int) -> Size:
    """`size` rounded up to multiples of the stride, with a notice when that changes it."""
    height, width = whole(size, stride)
    if (height, width) != size:
        notice(f"imgsz {size[0]}x{size[1]} is no multiple of {stride}: using {height}x{width}")
    return height, width


def _is_live(work: Prepared | SourceError) -> bool:
    return isinstance(work, Prepared) and any(item.frame is not None and item.frame.live for item in work.items)


def _kind(item: Item) -> object:
    return None if item.tensor is None else item.tensor.shape
