"""A planned chain of conversions, and how it is run: what the pipeline and its child process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segkit.core.backend.base import Backend, Calibration, ExportJob
from segkit.core.backend.faults import words
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import ExportOptions
from segkit.core.backend.replacing import foreign
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import ExportError, ModelFileError, SegkitError


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
        job = ExportJob(
            model if upstream is None else None,
            upstream,
            target,
            link.options,
            link.metadata.model_copy(deep=True),  # an exporter that changes its copy is found out below
            calibration if link.options.needs_calibration() else None,
            report=lambda text: report(str(text)),
        )
        try:
            link.backend.export(job)
            _check(link, target)
        except (SegkitError, KeyboardInterrupt):
            raise
        except BaseException as error:  # an exporter that calls sys.exit() has failed, too
            raise ExportError(fmt.name, words(error)) from error
        upstream = target
    assert upstream is not None
    return upstream


def _check(link: Link, target: Path) -> None:
    """The artefact is there, is more than a link, and its metadata reads back."""
    name = link.backend.format.name
    links = [path for path in [target, *target.rglob("*")] if path.is_symlink()]
    if links:
        raise ExportError(name, f"the exporter wrote a symbolic link, {links[0].name}: it would point into nothing")
    if not target.exists():
        raise ExportError(name, f"the exporter ended without writing {target.name}")
    if other := foreign(link.backend.format, target):
        raise ExportError(name, f"the exporter wrote '{other}', which is not among the contents of its format")
    try:
        read = metadata_of(link.backend, target)
    except ModelFileError as error:
        raise ExportError(name, f"its metadata does not read back ({error.problem})") from error
    if read != link.metadata:
        raise ExportError(name, f"metadata does not read back as it was sealed ({_difference(link.metadata, read)})")


def _difference(sealed: Metadata, read: Metadata | None) -> str:
    if read is None:
        return "none found"
    ours, theirs = sealed.to_plain(), read.to_plain()
    key = next(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return f"{key}: wrote {ours.get(key)!r}, read {theirs.get(key)!r}"[:300]
