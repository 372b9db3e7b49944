"""Validation: run a model over a data set, score what it finds, and write what is asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from segkit.core.backend.options import Selection
from segkit.core.data.dataset import Dataset
from segkit.core.data.problems import Kind
from segkit.core.errors import SourceError
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.results import Results
from segkit.core.inference.session import Session
from segkit.core.metrics import Evaluator, SegmentationMetrics
from segkit.core.notices import notice, progress
from segkit.core.validation.agreement import check_names, check_objects
from segkit.core.validation.arguments import ValArguments
from segkit.core.validation.found import STEPS, Seen, look, look_again
from segkit.core.validation.outputs import Outputs
from segkit.core.validation.shapes import Group, rectangles, squares
from segkit.core.validation.truth import is_coco, truth_of

PICTURES = (Kind.CORRUPT_PICTURE, Kind.MISSING_PICTURE)

CPU_RUN = 4
"""Most pictures in one run on a CPU: more are no faster there, and the next ones are prepared meanwhile."""


def validate_model(session: Session, dataset: Dataset, args: ValArguments, *, tell: bool = True) -> SegmentationMetrics:
    """Score a model on a data set.

    Every class of an anchor above `args.conf` counts as a detection, masks are compared in the pixels of the pictures,
    and truth, crowds included, is treated as COCO's own tools do.

    Args:
        session: the model, of any format.
        dataset: labelled pictures, opened with the same `classes` and `single_cls`.
        args: see `ValArguments`; `data`, `split` and `download` were the caller's.
        tell: show how far it is, and say what is left out of the scores.

    Returns:
        The scores; `speed` in milliseconds a picture by step, `save_dir` where anything was written.

    Raises:
        OptionError: the file cannot do what is asked.
        InputError: model and data set do not fit together.
        SourceError: nothing is labelled, or no picture can be read any more.
        MissingDependencyError: the package that scores is not installed.
        OutputError: the results cannot be written.
    """
    wanted = session.resolve(args.prediction(built_in=session.metadata.selection is not None))
    if not args.single_cls:
        check_names(session.metadata.names, dataset.names, dataset.source.name)
    check_objects(dataset)
    _say_limits(session.metadata.selection, wanted)
    evaluator = Evaluator(dataset.names)
    left_out: list[SourceError] = []
    spent = dict.fromkeys(STEPS, 0.0)
    count = 0
    seen_of = _seen(session, dataset, args, wanted, left_out)
    with Outputs(args, dataset) as outputs, closing(seen_of) as run:
        with progress("validating", len(dataset), unit="pictures", quiet=not tell) as advance:
            for seen in run:
                sample = dataset[seen.place]
                truth = truth_of(sample.labels, sample.size, coco=is_coco(sample))
                evaluator.add(seen.found, truth)
                outputs.take(seen, truth)
                spent = {step: spent[step] + seen.seconds[step] for step in STEPS}
                count += 1
                advance(1)
        if not count:
            raise SourceError(dataset.source, f"none of its pictures can be read: {left_out[0].problem}")
        speed = {step: seconds * 1e3 / count for step, seconds in spent.items()}
        lost = _left_out(dataset, left_out, tell=tell)
        metrics = replace(evaluator.result(), speed=speed, save_dir=outputs.folder, left_out=lost)
        outputs.finish(metrics)
    return metrics


def _left_out(dataset: Dataset, unread: list[SourceError], *, tell: bool) -> dict[str, int]:
    """How many rows and pictures of the data set do not count; they are told, for scores without them mislead."""
    bad = [problem for problem in dataset.problems if problem.dropped and problem.kind in PICTURES]
    lost = {"rows": sum(sample.dropped for sample in dataset), "pictures": len(bad) + len(unread)}
    if tell and any(lost.values()):
        first = str(unread[0]) if unread else str(next(each for each in dataset.problems if each.dropped))
        counts = " and ".join(f"{count} {name if count > 1 else name[:-1]}" for name, count in lost.items() if count)
        notice(
            f"left out of the scores: {counts}. The first: {first.rstrip('.')}. All: segkit data check {dataset.source}"
        )
    return lost


def _seen(
    session: Session, dataset: Dataset, args: ValArguments, wanted: PredictArguments, left_out: list[SourceError]
) -> Generator[Seen, None, None]:
    """Every picture with what was found in it; classes are one where that is asked for."""
    if args.augment:
        looked = look_again(session, dataset, wanted, left_out.append)
    else:
        groups, at_once = _groups(session, dataset, args, wanted), _at_once(session, args)
        looked = look(session, dataset, groups, wanted, at_once, left_out.append)
    with closing(looked) as run:
        for seen in run:
            yield seen if not args.single_cls else _as_one_class(seen)


def _groups(session: Session, dataset: Dataset, args: ValArguments, wanted: PredictArguments) -> Iterator[Group]:
    size = wanted.imgsz or session.metadata.imgsz
    sizes = [sample.size for sample in dataset]
    if args.rect or (args.rect is None and session.metadata.dynamic_size and size[0] == size[1]):
        return rectangles(sizes, max(size), session.metadata.stride, args.batch)
    return squares(sizes, size, args.batch)


def _at_once(session: Session, args: ValArguments) -> int:
    """Pictures in one run: what the file fixes, else as many as pay."""
    if not session.metadata.dynamic_batch:
        return session.metadata.batch
    return min(args.batch, CPU_RUN) if session.device == "cpu" else args.batch


def _as_one_class(seen: Seen) -> Seen:
    def result() -> Results:
        made = seen.result()
        made.boxes.data[:, -1] = 0
        return made

    return seen._replace(found=replace(seen.found, classes=np.zeros_like(seen.found.classes)), result=result)


def _say_limits(built_in: Selection | None, wanted: PredictArguments) -> None:
    """A file that selects by limits of its own is scored by what it lets through."""
    if built_in is not None and wanted.conf > ValArguments.model_fields["conf"].default:
        notice(
            f"this file selects objects itself, with conf={wanted.conf}: weaker ones, which mAP counts too, are lost; "
            "export without nms=True for figures that can be compared"
        )
