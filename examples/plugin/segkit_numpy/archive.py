"""The file: an .npz of the weights and two JSON documents stored as bytes, "graph" and "metadata". No pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segkit.core.errors import ModelFileError

_DOCUMENTS = ("graph", "metadata")


def write_archive(path: Path, weights: Mapping[str, np.ndarray[Any, Any]], **documents: Any) -> None:
    """Write weights and the two documents."""
    encoded = {name: np.frombuffer(json.dumps(document).encode(), np.uint8) for name, document in documents.items()}
    with path.open("wb") as stream:  # given a name, savez would append a suffix of its own
        np.savez(stream, **{f"weights/{name}": array for name, array in weights.items()}, **encoded)  # type: ignore[arg-type]


def read_archive(path: Path, *, weights: bool = True) -> dict[str, Any]:
    """{"graph": …, "metadata": …, "weights": {name: array}}; entries are read one by one, so documents alone are cheap.

    Raises:
        ModelFileError: it is no archive of this format, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as entries:
            content = {name: json.loads(entries[name].tobytes()) for name in _DOCUMENTS}
            names = [name for name in entries.files if weights and name not in _DOCUMENTS]
            content["weights"] = {name.removeprefix("weights/"): entries[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelFileError(path, f"it is not a segkit-numpy archive, or damaged ({type(error).__name__})") from None
    return content
