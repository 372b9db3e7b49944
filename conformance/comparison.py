"""Two or more models on the same pictures, instance by instance; the first is the reference.

Every picture is letterboxed once where the models take the same input, so that a difference is the models' own. No
torch and no pytest is imported here; a model that is a checkpoint brings torch along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from segkit.conformance.deviations import RawTally
from segkit.conformance.instances import Matching, Pair, Seen, match
from segkit.core.backend import Metadata, Precision
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import ImageBatch, Picture
from segkit.core.images.items import Item, label_of
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.selection import within
from segkit.core.inference.session import Session


@dataclass(frozen=True)
class Limits:
    """What two models of one network may differ by.

    `mask_iou` and `score` are the least overlap and the largest difference of an object that both see; `lost` is the
    share of all objects that may be missing or extra (those near the threshold not counted).
    """

    mask_iou: float
    score: float
    lost: float

    def hold(self, mask_iou: float, score: float) -> bool:
        """Whether an object that both see keeps the limits."""
        return mask_iou >= self.mask_iou and score <= self.score


LIMITS: Mapping[Precision, Limits] = MappingProxyType(
    {
        # One pixel of an object of 20 is worth .05. Measured with the n scale: on 711 objects of 128 pictures .9999,
        # 3e-6 and none in fp32, .94, .008 and one in fp16; on 550 of 100 pictures .67, .20 and 23 in int8.
        Precision.FP32: Limits(mask_iou=0.95, score=0.001, lost=0.0),
        Precision.FP16: Limits(mask_iou=0.90, score=0.02, lost=0.005),
        Precision.INT8: Limits(mask_iou=0.50, score=0.30, lost=0.05),
    }
)
"""By the coarser precision of the two models."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model that takes part.

    Attributes:
        path: as it was given.
        session: it, loaded.
        args: the arguments as this model resolves them.
    """

    path: str
    session: Session
    args: PredictArguments

    @property
    def metadata(self) -> Metadata:
        """What its file says."""
        return self.session.metadata

    @property
    def input_key(self) -> object:
        """Equal for models that take the same input."""
        return self.args.imgsz, self.args.rect

    def batch(self, picture: Picture) -> ImageBatch:
        """The picture as its input."""
        return ImageBatch([picture], self.args.imgsz or self.metadata.imgsz, minimal=bool(self.args.rect))


@dataclass(frozen=True, eq=False)
class Compared:
    """One picture: what every model sees in it (the reference first), and each of the others against the reference."""

    item: Item
    seen: tuple[Seen, ...]
    matchings: tuple[Matching, ...]

    @property
    def picture(self) -> Picture:
        """(H, W, 3) BGR."""
        assert self.item.picture is not None
        return self.item.picture


@dataclass(frozen=True)
class Row:
    """One picture in figures; `mask_iou` is the worst and `score` the largest difference of its pairs.

    It agrees when nothing is missing or extra, and no pair is beyond the limits.
    """

    path: str
    matched: int
    missing: int
    extra: int
    near: int
    mask_iou: float
    score: float
    agrees: bool

    @property
    def badness(self) -> tuple[float, ...]:
        """Sorts the worst pictures first, in ascending order."""
        return (-(self.missing + self.extra), self.mask_iou, -self.score)


class Comparison:
    """One model against the reference: totals, worst pictures, first raw output that diverges."""

    def __init__(self, reference: Model, other: Model, own: Mapping[str, float] | None = None) -> None:
        """`own` limits, by name, replace those of the coarser precision of the two."""
        order = list(LIMITS)
        self.reference, self.other = reference, other
        self.precision = max(reference.metadata.precision, other.metadata.precision, key=order.index)
        self.limits = replace(LIMITS[self.precision], **(own or {}))
        self.rows: list[Row] = []
        self.raw = RawTally(self.precision)
        self._pairs: list[Pair] = []

    def add(self, path: str, matching: Matching) -> None:
        """Count one picture."""
        least = min((pair.mask_iou for pair in matching.pairs), default=1.0)
        score = max((abs(pair.score) for pair in matching.pairs), default=0.0)
        missing, extra = len(matching.missing), len(matching.extra)
        near = len(matching.near_missing) + len(matching.near_extra)
        agrees = not missing and not extra and self.limits.hold(least, score)
        self.rows.append(Row(path, len(matching.pairs), missing, extra, near, least, score, agrees))
        self._pairs += matching.pairs

    @property
    def within(self) -> bool:
        """Whether no limit is passed."""
        lost = sum(row.missing + row.extra for row in self.rows)
        pairs_hold = all(self.limits.hold(row.mask_iou, row.score) for row in self.rows)
        return pairs_hold and lost <= self.limits.lost * (len(self._pairs) + lost)

    def worst(self, count: int) -> list[Row]:
        """The pictures that differ most, those that agree left out."""
        return [row for row in sorted(self.rows, key=lambda row: row.badness) if not row.agrees or row.near][:count]

    def totals(self) -> dict[str, float | None]:
        """Counts over all pictures, and figures of the objects that both see (None where there are none)."""
        figures = np.array([(p.mask_iou, p.box_iou, p.shift, abs(p.score)) for p in self._pairs]).reshape(-1, 4)
        worst, mean = [None] * 4, [None] * 4
        if len(figures):
            worst = [*figures[:, :2].min(0).tolist(), *figures[:, 2:].max(0).tolist()]
            mean = figures.mean(0).tolist()
        names = ("mask_iou", "box_iou", "box_shift", "score_difference")
        return {
            "pictures": len(self.rows),
            "matched": len(self._pairs),
            **{name: sum(getattr(row, name) for row in self.rows) for name in ("missing", "extra", "near")},
            **{f"worst_{name}": value for name, value in zip(names, worst, strict=True)},
            **{f"mean_{name}": value for name, value in zip(names, mean, strict=True)},
        }


def open_models(
    paths: Sequence[Path], options: Mapping[str, Any], args: PredictArguments, stack: ExitStack
) -> list[Model]:
    """Load every file, and close it with `stack`.

    Args:
        paths: two or more, weights or artefacts of any installed format.
        options: of loading, e.g. device and threads, for all of them.
        args: arguments of prediction; each model resolves its input size for itself.
        stack: owns the sessions.

    Raises:
        OptionError: fewer than two; or an option that one of the models does not take.
        ModelFileError, MissingDependencyError, …: one of them cannot be loaded.
    """
    if len(paths) < 2:
        raise OptionError("There is nothing to compare: give two models or more, the reference first.")
    sessions = []
    for path in paths:
        backend = default_registry().recognise(path)
        session = Session(backend, path, backend.format.parse_load_options(options))
        stack.enter_context(closing(session))
        args = within(args, session.metadata.selection)  # limits that one file has built in hold for all of them
        sessions.append(session)
    return [Model(str(path), each, each.resolve(args)) for path, each in zip(paths, sessions, strict=True)]


def compare_pictures(
    comparisons: Sequence[Comparison], items: Iterable[Item], on_error: Callable[[SourceError], None]
) -> Iterator[Compared]:
    """Run all models over the pictures one by one, and count in every comparison; they share the reference.

    Raises:
        RuntimeFailure: a model failed.
    """
    models = [comparisons[0].reference, *(comparison.other for comparison in comparisons)]
    for item in items:
        if item.picture is None:
            if item.error:
                on_error(item.error)
            continue
        batches = _batches(models, item.picture)
        raws = [model.session.compute(batch)[0] for model, batch in zip(models, batches, strict=True)]
        seen = tuple(
            Seen.of(raw, 0, batch.geometry[0], model.args)
            for raw, batch, model in zip(raws, batches, models, strict=True)
        )
        label = label_of(item.path, item.frame)
        matchings = tuple(match(seen[0], other, models[0].args.conf) for other in seen[1:])
        for comparison, raw, batch, matching in zip(comparisons, raws[1:], batches[1:], matchings, strict=True):
            if batch is batches[0]:
                comparison.raw.add(label, raw, raws[0])
            else:
                comparison.raw.skipped = "the models take inputs of different sizes"
            comparison.add(label, matching)
        yield Compared(item, seen, matchings)


def _batches(models: Sequence[Model], picture: Picture) -> list[ImageBatch]:
    """The picture as every model's input; the same object where they take the same."""
    made: dict[object, ImageBatch] = {}
    return [made.setdefault(model.input_key, model.batch(picture)) for model in models]
