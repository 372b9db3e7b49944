"""What torch is needed for, kept in a folder: with it the suite runs where torch is not, on the very board say.

Where torch is, the suite makes exports, computes the reference, and keeps both. Where it is not, it takes them from
there: the artefacts, PyTorch's outputs for the same pictures, and its scores over a data set.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from segkit.conformance import VERSION
from segkit.conformance.compare import OUTPUTS
from segkit.core.backend import Anchors, Backend
from segkit.core.backend.pipeline import ExportResult
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import OptionError
from segkit.core.files import remove
from segkit.core.images import ImageBatch

LABEL = "store.json"
"""Says by which suite a format's part was made."""


def has_torch() -> bool:
    """Whether exports and the reference can be made here."""
    return find_spec("torch") is not None


def needs_torch() -> None:
    """End a test that is nothing without torch."""
    if not has_torch():
        import pytest

        pytest.skip("torch is not installed: exports are made with it, and it is what they are compared with")


class Store:
    """The part of a folder that belongs to one format."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make it, or look what is there: without torch it is only read.

        Raises:
            OptionError: there is nothing to read, or another version of the suite has made it.
        """
        self.folder, self.reading = folder / name, not has_torch()
        label = self.folder / LABEL
        made_by = json.loads(label.read_text(encoding="utf-8"))["suite"] if label.is_file() else None
        if self.reading and made_by != VERSION:
            what = f"it was kept by suite {made_by}" if made_by else f"nothing is kept of '{name}' there"
            raise OptionError.invalid(
                "store", str(folder), f"{what}, and this is suite {VERSION}; make it where torch is, with store=FOLDER"
            )
        if not self.reading and made_by != VERSION:
            if made_by:
                remove(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            label.write_text(json.dumps({"suite": VERSION}), encoding="utf-8")

    @staticmethod
    def is_there(folder: Path, name: str) -> bool:
        """Whether anything is kept of a format."""
        return (folder / name / LABEL).is_file()

    def shelf(self, name: str) -> Shelf:
        """The part of one model."""
        return Shelf(self.folder / name, self.reading)


class Shelf:
    """Exports of one model, and what PyTorch makes of it."""

    def __init__(self, folder: Path, reading: bool, *, fresh: bool = False) -> None:
        """`reading`: take what is there, and make nothing. `fresh`: what is there is of this very run, and believed."""
        self.folder, self.reading, self.fresh = folder, reading, fresh

    def artefact(self, key: str, backend: Backend, folder: Path) -> ExportResult:
        """A copy, in a folder, of the artefact that was kept under a key."""
        told = self._read("made", key, "export with these options")
        kept, made = self._path("made", key) / told["name"], folder / told["name"]
        folder.mkdir(parents=True)
        (shutil.copytree if kept.is_dir() else shutil.copy2)(kept, made)
        metadata = metadata_of(backend, made)
        assert metadata is not None
        return ExportResult(made, told["size"], told["seconds"], metadata)

    def keep_artefact(self, key: str, made: ExportResult) -> None:
        """Keep it for those without torch."""
        place = self._path("made", key)
        remove(place)
        place.mkdir(parents=True)
        (shutil.copytree if made.path.is_dir() else shutil.copy2)(made.path, place / made.path.name)
        self._write("made", key, {"name": made.path.name, "size": made.size, "seconds": made.seconds})

    def outputs(self, batch: ImageBatch, compute: Callable[[ImageBatch], Anchors]) -> Anchors:
        """PyTorch's outputs for a batch: computed and kept, or those that were."""
        key = hashlib.sha256(np.ascontiguousarray(batch.f32_nchw).data).hexdigest()
        path = self._path("outputs", key).with_suffix(".npz")
        if not self.reading:
            found = compute(batch)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **{name: getattr(found, name) for name in OUTPUTS})
            return found
        if not path.is_file():
            _absent("output of PyTorch for these pictures")
        with np.load(path) as kept:
            return Anchors(*(kept[name] for name in OUTPUTS))

    def values(self, key: str, compute: Callable[[], list[float]]) -> list[float]:
        """Some numbers: computed and kept, or those that were."""
        known = self.fresh and self._path("values", key).with_suffix(".json").is_file()
        if not (self.reading or known):
            found = compute()
            self._write("values", key, found)
            return found
        kept: list[float] = self._read("values", key, "score of PyTorch over this data set")
        return kept

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / hashlib.sha256(key.encode()).hexdigest()[:16]

    def _read(self, kind: str, key: str, what: str) -> Any:
        path = self._path(kind, key).with_suffix(".json")
        if not path.is_file():
            _absent(what)
        return json.loads(path.read_text(encoding="utf-8"))

    def _write(self, kind: str, key: str, value: object) -> None:
        path = self._path(kind, key).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")


def _absent(what: str) -> None:
    import pytest  # not at the top: the command looks at a store before it knows that pytest is there

    pytest.skip(f"torch is not installed, and the store has no {what}")
