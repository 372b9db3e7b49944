"""Dividing a data set into train, val and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segkit._data_arguments import SplitArguments
from segkit.core.backend.options import validate
from segkit.core.data.dividing.writing import Division, split_dataset
from segkit.core.files import expanded


def split_data(source: str | Path, *, copy: str | Path | None = None, **options: Any) -> Division:
    """Divide a data set: lists of pictures and a new description, or with `copy` a new folder.

    Args:
        source: a folder with `images` and `labels`, or a description that has train alone.
        copy: a new folder for copies.
        options: those of `SplitArguments`.

    Raises:
        SourceError: there is no such data set, or it is divided already.
        OptionError: an option is unknown or not usable.
        OutputError: something of that name is there, or it cannot be written.
    """
    args = validate(SplitArguments, options, "data split")
    target = expanded(copy) if copy else None
    return split_dataset(source, copy=target, **args.model_dump())
