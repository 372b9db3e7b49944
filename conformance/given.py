"""What a run is given beside the suite's own model and pictures, looked at once before anything runs.

What is wrong with it would otherwise turn every backend red, minutes later, and for nobody's fault.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from segkit.conformance.settings import spelt
from segkit.core.backend.registry import default_registry
from segkit.core.data.dataset import Dataset, open_dataset
from segkit.core.data.named.catalogue import locate
from segkit.core.errors import ModelFileError, OptionError, SourceError, UnsafeCheckpointError
from segkit.core.files import expanded
from segkit.core.images.sources import open_sources
from segkit.core.model import read_checkpoint
from segkit.core.validation.agreement import check_names, check_objects

SPLIT = "val"
"""Part of the user's data set that is used."""

TRIED = 48
"""Pictures that are tried for one that can be read: as many as the suite takes from a data set."""


def look_at(model: str | None, data: str | None, *, command: bool) -> tuple[Path | None, str | None]:
    """The model and the data set as paths that lead there from any working folder.

    Args:
        model: weights.
        data: a description, COCO annotations, a folder with one of them, or a known name.
        command: how options are called in messages, see `spelt`.

    Raises:
        OptionError: one is empty, or there are pictures and no model.
        ModelFileError, UnsafeCheckpointError: the model is no weights of a YOLOv8-seg that can be used.
        SourceError: the data set cannot be used.
        InputError: model and data set do not fit together.
    """
    for name, given in (("model", model), ("data", data)):
        if given is not None and not given.strip():
            raise OptionError.invalid(spelt(name, command=command), given, "it is empty")
    if model is None:
        if data is not None:
            raise OptionError(
                f"Option {spelt('data', command=command)} needs {spelt('model', 'FILE', command=command)}: labelled "
                "pictures go with weights of the same classes, and the suite's own model knows generated shapes only."
            )
        return None, None
    path = expanded(model)
    names = names_of_weights(path)
    return path.absolute(), None if data is None else str(data_that_fits(data, names))


def names_of_weights(path: Path) -> dict[int, str]:
    """Class names of weights that can be used. Their numbers are looked at where torch is installed.

    Raises:
        ModelFileError, UnsafeCheckpointError: they cannot be used; it says what the file is.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        default_registry().recognise(path)  # which says what is there instead
        raise ModelFileError(path, str(getattr(error, "strerror", None) or error).lower()) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ModelFileError(path, "it is a pipe or a device, not a file")
    try:
        checkpoint = read_checkpoint(path)
        checkpoint.require_config()
    except UnsafeCheckpointError:
        raise
    except ModelFileError:
        if title := _exported(path):
            problem = f"it is {title}, an exported artefact; the suite exports weights itself: give the .pt file"
            raise ModelFileError(path, problem) from None
        raise
    if find_spec("torch"):
        from segkit.core.model import load_network

        load_network(checkpoint)
    return checkpoint.names


def data_that_fits(data: str, names: Mapping[int, str]) -> Path:
    """The description or the COCO file that is meant by `data`, of which a model of these classes can be scored.

    Raises:
        SourceError: there is none, or nothing in it that can be used.
        InputError: it is of other classes.
    """
    dataset = open_dataset(locate(data, splits=[SPLIT]), SPLIT)
    check_names(names, dataset.names, dataset.source.name, otherwise="")
    check_objects(dataset)
    if next(_readable(dataset), None) is None:
        raise SourceError(dataset.source, f"none of the first {min(TRIED, len(dataset))} pictures can be read")
    return dataset.source.absolute()


def _readable(dataset: Dataset) -> Iterator[object]:
    pictures = open_sources([str(sample.path) for sample in dataset[:TRIED]])
    return (item.picture for item in pictures if item.picture is not None)


def _exported(path: Path) -> str | None:
    """Title of the format whose artefact this is; None for weights, and for what nobody knows."""
    try:
        fmt = default_registry().recognise(path).format
    except ModelFileError:
        return None
    return None if fmt.holds_weights else fmt.title
