"""What stands where an artefact is to go: it is replaced whole, so only what is one, with nothing else in it, is."""

from __future__ import annotations

import os
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from segkit.core.backend.base import Backend, Match
from segkit.core.backend.format import Format
from segkit.core.backend.registry import Registry
from segkit.core.backend.returned import match_of, metadata_of
from segkit.core.errors import ModelFileError, OutputError
from segkit.core.files import output_error


def check_replaceable(registry: Registry, backend: Backend, target: Path) -> None:
    """Refuse a target that is somebody's work, before any work is done; an empty file or folder is nobody's.

    Raises:
        OutputError: it is no artefact of this format, holds something else besides, or may not be looked at.
    """
    try:
        if target.is_dir():
            _check_folder(backend, target)
        elif target.exists() and target.stat().st_size:
            _check_file(registry, backend, target)
    except OSError as error:
        raise output_error(target, error) from error


def is_artefact(backend: Backend, folder: Path) -> bool:
    """Whether a folder, whatever its name, holds a model of this format."""
    match = match_of(backend, folder)
    return match is not None and match.confidence >= Match.SHARED  # by more than its name


def foreign(fmt: Format, folder: Path) -> str | None:
    """Something in a folder, as a path in it, that is not among the contents of the format; None where nothing is."""
    inside = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")))
    return next((name for name in inside if not _belongs(fmt, name)), None)


def own_files(fmt: Format, folder: Path) -> list[str]:
    """The files in a folder, as paths in it, that are among the contents of the format, and so are the folders around
    them.

    Raises:
        ModelFileError: one is no file (a pipe), or a link to anything but another one of them.
    """
    files = []
    home = Path(os.path.realpath(folder))  # never raises, whatever the links
    waiting = sorted(folder.iterdir())
    while waiting:
        path = waiting.pop(0)
        name = path.relative_to(folder).as_posix()
        if not _belongs(fmt, name):
            continue
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(home) or not _belongs(fmt, real.relative_to(home).as_posix()):
            raise ModelFileError(folder, f"its {name} is a link to something else; copy what it leads to in its place")
        if path.is_dir() and not path.is_symlink():
            waiting += sorted(path.iterdir())
        elif path.is_file():
            files.append(name)
        else:
            raise ModelFileError(folder, f"its {name} is no file")
    return files


def _belongs(fmt: Format, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in fmt.contents or ("*",))


def _check_folder(backend: Backend, target: Path) -> None:
    fmt = backend.format
    if not any(target.iterdir()):
        return
    sealed = _is_sealed(backend, target)
    if not (sealed or is_artefact(backend, target)):
        raise OutputError(
            target, f"a folder of that name is in the way, and it is no {fmt.title} artefact; give another output="
        )
    if not (sealed or Backend.recognises(backend, target)):  # its name says that it is for artefacts
        raise OutputError(target, f"it holds a {fmt.title} model that segkit did not write; give another output=")
    if other := foreign(fmt, target):
        problem = f"it would be replaced whole, and it holds '{other}', which is no part of an artefact of {fmt.title}"
        raise OutputError(target, f"{problem}; move that away or give another output=")


def _check_file(registry: Registry, backend: Backend, target: Path) -> None:
    """A file that nobody knows by its content, but that is called like an artefact, is a damaged one."""
    if _is_sealed(backend, target):
        return
    with suppress(ModelFileError):
        if registry.recognise(target) is backend:
            return
    raise OutputError(
        target, f"a file of that name is in the way, and it is no {backend.format.title} artefact; give another output="
    )


def _is_sealed(backend: Backend, path: Path) -> bool:
    """Whether segkit wrote it."""
    with suppress(ModelFileError):
        metadata = metadata_of(backend, path)
        return metadata is not None and metadata.segkit is not None
    return False
