"""A benchmark: every format of a model exported, timed and scored, in one table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit._benchmark_report import FILES, BenchmarkReport, BenchmarkRow, home_of
from segkit._benchmark_subjects import Subject, export, given, planned
from segkit.core.backend.format import installed_version
from segkit.core.backend.options import validate
from segkit.core.errors import MissingDependencyError, OptionError
from segkit.core.notices import notice
from segkit.core.validation.benchmark_arguments import BenchmarkArguments

if TYPE_CHECKING:
    from segkit import YOLO
    from segkit.core.data.dataset import Dataset

__all__ = ["BenchmarkReport", "BenchmarkRow", "benchmark"]


def benchmark(
    model: YOLO | str | Path | Sequence[YOLO | str | Path], data: str | Path | None = None, **options: Any
) -> BenchmarkReport:
    """Measure a model in every format: seconds of the export, size, milliseconds, and AP of boxes and masks.

        report = benchmark("yolov8n-seg.pt", "coco128-seg.yaml", half=True)
        report.to_df()

    Files that are exported live in a temporary folder while they are measured. A format that fails is a row with the
    reason, and the others go on.

    Args:
        model: weights, from which every format is exported; or several files, of which the first is the reference and
            the others are measured as they are.
        data: labelled pictures: a data.yaml, a COCO JSON, or a name; default: the data set that the weights remember.
        options: see `segkit.core.validation.benchmark_arguments`; also `report`, a function that is called with a few
            words at each step (default: a notice).

    Raises:
        OptionError, UnknownFormatError: refused before any work.
        ModelFileError: a model cannot be opened.
        SourceError: the data set cannot be read.
        OutputError: the results cannot be written.
        MissingDependencyError: what scores or draws is not installed.
    """
    from segkit._benchmark_scores import open_pictures

    report = options.pop("report", None) or notice
    args = validate(BenchmarkArguments, options | ({"data": str(data)} if data is not None else {}), "benchmark")
    require_packages(save=args.save)
    models = _opened(model)
    subjects = given(models, args) + planned(models[0], args)
    if not args.export and len(models) == 1:
        raise OptionError("With export=False there is only one file to measure: give others, or leave it out.")
    dataset = open_pictures(models[0], args)
    with _places(args) as (folder, made_in):
        _export_all(models[0], subjects, dataset, made_in, args, report)
        _measure_all(subjects, dataset, args, report)
        found = BenchmarkReport(
            models[0].path.name,
            args.data or models[0]._metadata().data or dataset.source.name,
            len(dataset),
            tuple(subject.row() for subject in subjects),
            _settings(args),
            _machine(subjects),
            folder,
        )
        if folder:
            found.write(folder)
    return found


def require_packages(*, save: bool) -> None:
    """Find out before the work, not after it."""
    needed = ["faster_coco_eval"] + (["matplotlib"] if save else [])
    if not all(map(find_spec, needed)):
        raise MissingDependencyError(["segkit[val]"], "A benchmark")


def _opened(model: YOLO | str | Path | Sequence[YOLO | str | Path]) -> list[YOLO]:
    from segkit import YOLO

    several = [model] if isinstance(model, YOLO | str | Path) else list(model)
    if not several:
        raise OptionError("A benchmark needs a model: weights, or several files.")
    return [each if isinstance(each, YOLO) else YOLO(each) for each in several]


@contextmanager
def _places(args: BenchmarkArguments) -> Iterator[tuple[Path | None, Path]]:
    """The folder of the results, made now so that it is known to be writable; and that of the exported files."""
    from segkit.core.inference.output import made_run_folder

    with ExitStack() as stack:
        folder = None
        if args.save:
            place = made_run_folder(args.project or "runs", args.name or "benchmark", exist_ok=args.exist_ok)
            folder = stack.enter_context(place)
        if folder and args.keep:
            yield folder, folder / FILES
            return
        temporary = tempfile.TemporaryDirectory(prefix="segkit-benchmark-", ignore_cleanup_errors=True)
        yield folder, Path(stack.enter_context(temporary))


def _export_all(
    reference: YOLO,
    subjects: Sequence[Subject],
    dataset: Dataset,
    folder: Path,
    args: BenchmarkArguments,
    report: Callable[[str], None],
) -> None:
    waiting = [subject for subject in subjects if subject.model is None and not subject.reason]
    options: dict[str, Any] = {"imgsz": args.imgsz} if args.imgsz else {}
    pictures = [str(sample.path) for sample in dataset]
    for number, subject in enumerate(waiting, 1):
        report(f"export {number} of {len(waiting)}: {subject.name}")
        home = home_of(folder, subject.name)
        with subject.step("export"):
            home.mkdir(parents=True, exist_ok=True)
            export(reference, subject, home, options, pictures)
        _tell(subject, report)


def _measure_all(
    subjects: Sequence[Subject], dataset: Dataset, args: BenchmarkArguments, report: Callable[[str], None]
) -> None:
    from segkit._benchmark_scores import hold_against, score
    from segkit._benchmark_timing import time_all

    loading = {name: value for name in ("device", "threads") if (value := getattr(args, name)) is not None}
    ready = [subject for subject in subjects if not subject.reason]
    report(f"timing {len(ready)} files in turns")
    time_all(ready, [sample.path for sample in dataset], args.imgsz, loading, args.rounds)
    for number, subject in enumerate(ready, 1):
        if not subject.reason:
            report(f"scoring {number} of {len(ready)}: {subject.name}")
            with subject.step("scoring"):
                score(subject, dataset, args.imgsz, loading)
                hold_against(subjects[0], subject, args)
        _tell(subject, report)


def _tell(subject: Subject, report: Callable[[str], None]) -> None:
    if subject.reason:
        report(f"{subject.name}: {subject.state}")


def _settings(args: BenchmarkArguments) -> dict[str, Any]:
    threads = args.threads if args.threads is not None else "default"
    return {"rounds": args.rounds, "device": args.device or "cpu", "threads": threads}


def _machine(subjects: Sequence[Subject]) -> dict[str, str]:
    """Processor, and the versions of what ran: the distributions that the measured formats ask for."""
    from segkit._machine import processor
    from segkit.core.backend.registry import default_registry

    backends = {name: default_registry().find(name).backend for name in dict.fromkeys(each.format for each in subjects)}
    needs = [need.found() for backend in backends.values() if backend for need in backend.format.requires]
    versions = {"segkit": installed_version("segkit") or ""} | dict(found for found in needs if found)
    return {name: value for name, value in processor().items() if name != "memory"} | versions
