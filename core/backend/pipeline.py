"""Export: resolve the chain, check everything, convert in one child process, put the result in place whole.

The only caller of `Backend.export`. What a user gave is validated before any work; intermediates live in a temporary
folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.core.backend import metadata as meta
from segkit.core.backend import worker
from segkit.core.backend.base import Backend, Calibration
from segkit.core.backend.capability import Feature
from segkit.core.backend.chain import Link, convert
from segkit.core.backend.faults import blamed
from segkit.core.backend.format import Requirement, installed_version
from segkit.core.backend.metadata import Metadata, Seal
from segkit.core.backend.options import ExportOptions, Precision
from segkit.core.backend.placement import check_target, place
from segkit.core.backend.registry import Registry
from segkit.core.backend.replacing import check_replaceable
from segkit.core.errors import OptionError, PluginError
from segkit.core.files import output_error


@dataclass(frozen=True)
class ModelCard:
    """What the pipeline must know of a model without opening it: names by class index, the sizes of its head, and
    the name of the data set that it was trained on.
    """

    names: Mapping[int, str]
    stride: int = 32
    channels: int = 3
    coefficients: int = 32
    strides: tuple[int, ...] = (8, 16, 32)
    description: str | None = None
    data: str | None = None


@dataclass(frozen=True)
class ExportResult:
    """Where the artefact is, its size in bytes (all files of a folder), the seconds it took, and its metadata."""

    path: Path
    size: int
    seconds: float
    metadata: Metadata


def plan(
    registry: Registry, name: str, given: Mapping[str, Any], card: ModelCard, calibration: Calibration | None
) -> list[Link]:
    """The chain of conversions that leads to format `name`, source first, every option validated.

    Raises:
        UnknownFormatError, PluginError: there is no such format, or a plugin of the chain is broken.
        OptionError, UnsupportedError: an option is refused.
        MissingDependencyError: a package of some link is not installed.
    """
    backend = registry.get(name)
    options = backend.format.parse_export_options(given)
    if options.needs_calibration() and calibration is None:
        raise OptionError(
            f"Export to {backend.format.name} in int8 needs pictures to calibrate with: give data=FOLDER."
        )
    steps = [(backend, options)]
    while backend.format.source:
        upstream, options = _source(registry, backend, options)
        if any(upstream is known for known, _ in steps):
            raise PluginError(backend.format.name, "its chain of source formats leads back to itself")
        backend = upstream
        steps.append((backend, options))
    steps.reverse()
    for backend, _ in steps:
        backend.format.require(Feature.EXPORT)
    return [Link(backend, options, _metadata(backend, options, card, calibration)) for backend, options in steps]


def export(
    registry: Registry,
    links: list[Link],
    model: Path,
    target: Path,
    *,
    calibration: Calibration | None = None,
    isolate: bool = True,
    report: Callable[[str], None] = lambda text: None,
) -> ExportResult:
    """Run a planned chain on the weights in `model` and put the artefact at `target`.

    Args:
        registry: where the links came from; formats registered by hand are registered in the child process too.
        links: from `plan()`.
        model: weights on disk, as `segkit.core.model.load_network` reads them.
        target: file or folder to make or replace, atomically.
        calibration: pictures for int8.
        isolate: convert in a child process, so that a crash of a toolchain is an ExportError.
        report: called with a few words when a step begins.

    Raises:
        ExportError: a toolchain failed or crashed; `.log` holds what it printed.
        OutputError: the target cannot be written, or is something else than such an artefact. Whatever was there before
            is untouched.
        UnsupportedError: only a part of it could be done here, and is at the place that the message names.
    """
    backend = links[-1].backend
    check_target(target, folder=True if backend.format.contents else None)
    check_replaceable(registry, backend, target)
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="segkit-export-", ignore_cleanup_errors=True) as folder:
            job = (links, model, Path(folder), target.name, calibration, report)
            made = worker.run_isolated(registry, *job) if isolate else convert(*job)
            report("moving the result into place")
            place(made, target)
    except OSError as error:
        raise output_error(f"{tempfile.gettempdir()} (temporary files; TMPDIR chooses another place)", error) from error
    backend.check_export(links[-1].options, target)
    size = sum(item.stat().st_size for item in [target, *target.rglob("*")] if item.is_file())
    return ExportResult(target, size, time.perf_counter() - start, links[-1].metadata)


def _source(registry: Registry, backend: Backend, options: ExportOptions) -> tuple[Backend, ExportOptions]:
    """The format that a chained one starts from, and what it is asked for."""
    source = str(backend.format.source)
    with blamed(backend.format.name, f"its source format '{source}' cannot be used"):
        upstream = registry.get(source)
        return upstream, upstream.format.parse_source_options(backend.source_options(options))


def _metadata(backend: Backend, options: ExportOptions, card: ModelCard, calibration: Calibration | None) -> Metadata:
    asked = options.features()
    packages = [need.name for need in backend.format.requires if isinstance(need, Requirement)]
    toolchain = {name: installed_version(name) for name in (*packages, "segkit")}
    return Metadata(
        stride=card.stride,
        batch=options.batch,
        imgsz=options.imgsz,
        names=dict(card.names),
        channels=card.channels,
        # The flags that readers of other tools look for, beside our own precision.
        args=options.recorded()
        | {"half": options.precision is Precision.FP16, "int8": options.precision is Precision.INT8},
        description=card.description,
        date=meta.now(),
        segkit=Seal(
            head=options.head_layout(),
            selection=options.selection(),
            precision=options.precision,
            dynamic_batch=Feature.DYNAMIC_BATCH in asked,
            dynamic_size=Feature.DYNAMIC_SIZE in asked,
            coefficients=card.coefficients,
            strides=card.strides,
            toolchain={name: version for name, version in toolchain.items() if version},
            calibration=calibration.digest if calibration and options.needs_calibration() else None,
            data=card.data,
        ),
    )
