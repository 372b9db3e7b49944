"""A planned chain of conversions, and how it is run: what the pipeline and its child process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segkit.core.backend.base import Backend, Calibration, ExportJob
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import ExportOptions
from segkit.core.errors import ExportError


@dataclass(frozen=True)
class Link:
    """One conversion of a chain."""

    backend: Backend
    options: ExportOptions
    metadata: Metadata


def convert(
    links: list[Link],
    model: Path,
    folder: Path,
    name: str,
    calibration: Calibration | None,
    report: Callable[[str], None],
) -> Path:
    """Run the exporters one after the other inside `folder`; the last artefact gets `name`. Called in the child
    process.

    Raises:
        ExportError: an exporter failed, wrote nothing, or its metadata does not read back as sealed.
    """
    upstream: Path | None = None
    for number, link in enumerate(links):
        fmt = link.backend.format
        last = number == len(links) - 1
        work = folder / f"{number}-{fmt.name}"
        work.mkdir()
        target = work / (name if last else fmt.artefact_name(model.stem, link.options))
        report(f"converting to {fmt.title}")
        needed = calibration if link.options.needs_calibration() else None
        job = ExportJob(
            model if upstream is None else None, upstream, target, link.options, link.metadata, needed, report=report
        )
        link.backend.export(job)
        if not target.exists():
            raise ExportError(fmt.name, f"the exporter ended without writing {target.name}")
        if (read := link.backend.read_metadata(target)) != link.metadata:
            raise ExportError(
                fmt.name, f"metadata does not read back as it was sealed ({_difference(link.metadata, read)})"
            )
        upstream = target
    assert upstream is not None
    return upstream


def _difference(sealed: Metadata, read: Metadata | None) -> str:
    if read is None:
        return "none found"
    ours, theirs = sealed.to_plain(), read.to_plain()
    key = next(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return f"{key}: wrote {ours.get(key)!r}, read {theirs.get(key)!r}"[:300]
