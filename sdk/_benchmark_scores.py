"""Accuracy: every file over the same pictures, in the same square input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segkit._benchmark_subjects import Subject
from segkit.core.backend.options import validate
from segkit.core.errors import OptionError
from segkit.core.validation.benchmark_arguments import BenchmarkArguments

if TYPE_CHECKING:
    from segkit import YOLO
    from segkit.core.data.dataset import Dataset
    from segkit.core.images import Size


def open_pictures(reference: YOLO, args: BenchmarkArguments) -> Dataset:
    """The labelled pictures: those of the data set, or as many of them as were asked for, spread over it.

    Raises:
        SourceError: there is no such data set, or nothing usable in it.
        OptionError: no data set is given, and the weights remember none.
    """
    from segkit.core.data.dataset import open_dataset
    from segkit.core.data.named.catalogue import locate

    name = args.data or reference._metadata().data
    if name is None:
        raise OptionError("A benchmark needs labelled pictures: give data=…, a data.yaml or a COCO JSON.")
    dataset = open_dataset(locate(name, download=args.download, splits=[args.split]), args.split)
    count, wanted = len(dataset), args.share(len(dataset))
    return replace(dataset, samples=tuple(dataset[number * count // wanted] for number in range(wanted)))


def score(subject: Subject, dataset: Dataset, size: Size | None, loading: dict[str, Any]) -> None:
    """Validate one file; its figures gain box_map and mask_map."""
    from contextlib import closing

    from segkit.core.inference.session import Session
    from segkit.core.validation import ValArguments, validate_model

    assert subject.model is not None
    backend, path = subject.model._artefact()
    options = backend.format.parse_load_options(loading | subject.loading)
    with closing(Session(backend, path, options)) as session:
        asked: dict[str, Any] = {"imgsz": size} if size and session.metadata.dynamic_size else {}
        wanted = validate(ValArguments, asked | {"rect": False, "plots": False}, "benchmark")
        metrics = validate_model(session, dataset, wanted)
    subject.figures |= {"box_map": float(metrics.box.map), "mask_map": float(metrics.seg.map)}


def hold_against(reference: Subject, subject: Subject, args: BenchmarkArguments) -> None:
    """Differences from the reference, and whether that of the masks is within the bound."""
    for kind in ("box", "mask"):
        own, other = subject.figures.get(f"{kind}_map"), reference.figures.get(f"{kind}_map")
        if own is None or other is None:
            return
        subject.figures[f"{kind}_difference"] = own - other
    subject.figures["within"] = abs(subject.figures["mask_difference"]) <= args.bound_of(subject.precision)
