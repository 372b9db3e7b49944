"""Paths as users give them to `YOLO`, looked at once before anybody opens them."""

from __future__ import annotations

import stat
from pathlib import Path

from segkit.core.errors import ModelFileError, OptionError
from segkit.core.files import output_error


def model_path(model: object) -> Path:
    """The path of a model file; that it is missing is left to those who know the names that exist.

    Raises:
        OptionError: not a path at all.
        ModelFileError: an address, a path that may not be looked at, a pipe or a device.
    """
    if not isinstance(model, str | Path):
        raise OptionError.invalid("model", model, "give the path of a model file")
    if "://" in str(model):
        raise ModelFileError(str(model), "models are not downloaded; download it yourself and give the file")
    path = Path(model).expanduser()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return path
    except OSError as error:
        raise ModelFileError(path, (error.strerror or str(error)).lower()) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # it is read more than once
        raise ModelFileError(path, "it is a pipe or a device, not a file")
    return path


def target_for(folder: Path, name: str, output: str | Path | None) -> Path:
    """Where an artefact goes: beside the weights; into `output` if that is a folder; else exactly `output`.

    Raises:
        OutputError: the place may not even be looked at.
    """
    if output is None:
        return folder / name
    path = Path(output).expanduser()
    try:
        existing = path.is_dir()
    except OSError as error:
        raise output_error(path, error) from error
    into = str(output).endswith(("/", "\\")) or (existing and not _is_artefact(path, name))
    return path / name if into else path


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_artefact(folder: Path, name: str) -> bool:
    """Whether an existing folder is an earlier artefact of that kind, to be replaced, not a place to put one into."""
    return "." not in name and folder.name.endswith(name.split("_", 1)[-1])
