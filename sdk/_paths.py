"""Paths as users give them to `YOLO`, looked at once before anybody opens them."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from segkit.core.errors import ModelFileError, OptionError
from segkit.core.files import expanded, output_error
from segkit.core.http import is_address, masked


def model_path(model: object) -> Path:
    """The file that a user means by a model; named weights and addresses are downloaded where they are not here yet.

    That a path is missing is left to those who know the names that exist.

    Raises:
        OptionError: not a path at all.
        ModelFileError: a path that may not be looked at, a pipe or a device; a download that fails.
        OutputError: a download cannot be kept.
    """
    if not isinstance(model, str | Path):
        raise OptionError.invalid("model", model, "give the path of a model file")
    if is_address(model):
        return _resolved(model)
    if isinstance(model, str) and "://" in model:
        raise ModelFileError(
            masked(model), "only http and https addresses are read; download it yourself and give the file"
        )
    path = expanded(model)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _resolved(model)
    except ValueError:  # a NUL in the name
        return path
    except OSError as error:
        raise ModelFileError(path, (error.strerror or str(error)).lower()) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # it is read more than once
        raise ModelFileError(path, "it is a pipe or a device, not a file")
    return path


def home_of(model: Path) -> Path:
    """The folder for what is made from a model: that of its file, or the working folder if that is in the cache."""
    from segkit.core.hub import is_cached

    return Path() if is_cached(model) else model.parent


def target_for(
    folder: Path, name: str, output: str | Path | None, is_artefact: Callable[[Path], bool] = lambda path: False
) -> Path:
    """Where an artefact goes: into `folder`; into `output` if that is a folder; else exactly `output`.

    `is_artefact` tells of an existing folder whether it holds such an artefact: that is replaced, not put into.

    Raises:
        OutputError: the place may not even be looked at.
    """
    if output is None:
        return folder / name
    path = expanded(output)
    try:
        existing = path.is_dir()
    except OSError as error:
        raise output_error(path, error) from error
    if existing and is_artefact(path):
        return path
    into = str(output).endswith(("/", "\\")) or (existing and not _is_named_like_one(path, name))
    return path / name if into else path


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _resolved(model: str | Path) -> Path:
    from segkit.core.hub import resolve

    return resolve(model)


def _is_named_like_one(folder: Path, name: str) -> bool:
    """Whether an existing folder is called as artefacts of that kind are."""
    return folder.name.endswith(Path(name).suffix or name.split("_", 1)[-1])
