"""What any file or folder says about itself, without loading it into a runtime: `segkit inspect`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from segkit._guess import guess
from segkit._head import head_in_words
from segkit._paths import model_path
from segkit.core.backend.base import Backend, Inspection
from segkit.core.backend.faults import words
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.registry import default_registry
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import ModelFileError, SegkitError


@dataclass(frozen=True)
class Report:
    """What was found out about one file or folder.

    Attributes:
        path: as it was given.
        size: bytes on disk, of a folder those of all its files.
        files: number of files.
        format: name of the format that recognises it; None where none does.
        title: the format's name as people write it.
        reason: why it is taken for that, or what it seems to be instead; the end of a sentence.
        metadata: names, sizes and precision; None where it carries none, or carries what segkit cannot use.
        inspection: tensors, writer, and facts by name.
        precision: what it computes in.
        head: what its outputs mean, in words.
        problem: why segkit cannot run it, although it can be read.
        error: why it cannot be read.
    """

    path: str
    size: int = 0
    files: int = 0
    format: str | None = None
    title: str | None = None
    reason: str = ""
    metadata: Metadata | None = None
    inspection: Inspection = field(default_factory=Inspection)
    precision: str | None = None
    head: str | None = None
    problem: str | None = None
    error: SegkitError | None = None


def inspect(path: str | Path) -> Report:
    """Everything that a file or folder says about itself. No runtime is loaded, and no torch.

    What is damaged or missing is told in `Report.error`, not raised.
    """
    shown = str(path)
    try:
        found = model_path(path)
        registry = default_registry()
        if not found.exists():
            registry.recognise(found)  # which says what is there instead
        files, size = _extent(found)
        try:
            backend = registry.recognise(found)
        except ModelFileError as error:
            return Report(shown, size, files, reason=f"it seems to be {guess(found)}", problem=error.problem)
    except OSError as error:
        return Report(shown, error=ModelFileError(shown, (error.strerror or str(error)).lower()))
    except SegkitError as error:
        return Report(shown, error=error)
    return _report(Report(shown, size, files), found, backend)


def _report(known: Report, path: Path, backend: Backend) -> Report:
    known = replace(known, format=backend.format.name, title=backend.format.title, reason=_reason(backend, path))
    try:
        inspection = _inspection(backend, path)
    except SegkitError as error:
        return replace(known, error=error)
    metadata, problem = None, None
    try:
        metadata = metadata_of(backend, path)
    except SegkitError as error:
        problem = getattr(error, "problem", str(error))
    return replace(
        known,
        metadata=metadata,
        inspection=inspection,
        precision=inspection.facts.get("precision") or (metadata.precision.value if metadata else None),
        head=None if problem else head_in_words(metadata, inspection, path),
        problem=problem,
    )


def _extent(path: Path) -> tuple[int, int]:
    """(number of files, bytes)."""
    sizes = [each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    return len(sizes), sum(sizes)


def _reason(backend: Backend, path: Path) -> str:
    """Why the backend takes the file; by its suffix where its own opinion cannot be had."""
    try:
        match = backend.recognises(path)
    except Exception:
        match = None
    match = match or Backend.recognises(backend, path)
    return match.reason if match else "no other format takes it"


def _inspection(backend: Backend, path: Path) -> Inspection:
    """As `Backend.inspect`, of a plugin that raises something unforeseen, too."""
    try:
        return backend.inspect(path)
    except SegkitError:
        raise
    except Exception as error:
        name = backend.format.name
        raise ModelFileError(path, f"the plugin of '{name}' fails to inspect it ({words(error)})") from error
