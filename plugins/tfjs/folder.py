"""The folder: a graph model, its weights, and what segkit says about them; read with nothing but Python.

TensorFlow.js checks no sums: a flipped bit in a weight is computed with. So the folder is looked through here first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.yamls import read_yaml
from segkit.plugins.shared.pictures import Pictures, words
from segkit.plugins.shared.sums import check_sums, digest
from segkit.plugins.tfjs.outline import FORMAT_NAME, Outline, read_outline

METADATA = "metadata.yaml"
PROGRAM = "model.json"

SEAL, SUMS = "segkit", "sha256"
"""Keys in METADATA, its first and its last: segkit's own block; SHA-256 of the other files by name. So a file that was
cut off anywhere still shows that it had sums, and has no longer.
"""

LARGEST = 64 << 20
"""Bytes of a graph; the largest scale has 0.3 MB."""

_LARGEST_SIDE = 1 << 15
_DIGITS = 64
"""Of a sum."""

__all__ = ["FORMAT_NAME", "METADATA", "PROGRAM", "Folder", "digest", "write_notes"]


@dataclass(frozen=True)
class Folder:
    """A graph model.

    Attributes:
        path: as the user gave it.
        program: its `model.json`.
    """

    path: Path
    program: Path

    @classmethod
    def find(cls, path: Path) -> Folder:
        """Of a folder, or of the `model.json` inside it.

        Raises:
            ModelFileError: it is something else (and what).
        """
        program = path / PROGRAM if path.is_dir() else path
        if program.suffix != ".json":
            raise ModelFileError(path, f"it is no folder with a {PROGRAM}")
        if not program.is_file():
            raise ModelFileError(path, f"it has no {PROGRAM}")
        return cls(path, program)

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.program.parent

    @cached_property
    def outline(self) -> Outline:
        """The graph from outside.

        Raises:
            ModelFileError: it is damaged, or no graph model.
        """
        try:
            if self.program.stat().st_size > LARGEST:
                raise ValueError(f"it is larger than any graph: more than {LARGEST >> 20} MB")
            return read_outline(json.loads(self.program.read_bytes()))
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"its {self.program.name} cannot be used: {error}") from None

    @cached_property
    def notes(self) -> Mapping[str, Any]:
        """The keys of `metadata.yaml` as they are; none where there is no such file.

        Raises:
            ModelFileError: it cannot be understood, or was cut off.
        """
        try:
            raw = read_yaml(self.root / METADATA)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ModelFileError(self.path, f"its {METADATA}: {(error.strerror or str(error)).lower()}") from None
        except ValueError as error:
            raise ModelFileError(self.path, f"its {METADATA} cannot be understood: {error}") from None
        if not isinstance(raw, dict):
            raise ModelFileError(self.path, f"its {METADATA} cannot be understood: it holds no keys")
        notes = {str(key): value for key, value in raw.items()}
        sums = notes.get(SUMS)
        whole = {name for name, text in sums.items() if len(str(text)) == _DIGITS} if isinstance(sums, dict) else set()
        if SEAL in notes and not self._members() <= whole:
            raise ModelFileError(
                self.path, f"its {METADATA} is damaged: it lacks sums of files (an interrupted copy?). Copy it again"
            )
        return notes

    def metadata(self) -> Metadata | None:
        """What `metadata.yaml` says, None where there is nothing; sizes that the graph fixes win over it.

        Raises:
            ModelFileError: it is not understood, or the graph is damaged.
        """
        inputs = self.outline.inputs
        metadata = Metadata.parse({key: value for key, value in self.notes.items() if key != SUMS}, self.path)
        given = Pictures.of(inputs[0]) if inputs else None
        if given is None:
            return metadata if self.notes else None
        if max(given.batch or 0, given.height or 0, given.width or 0) > _LARGEST_SIDE:
            raise ModelFileError(self.path, f"its input of {words(inputs[0])} is larger than any picture")
        facts: dict[str, Any] = {"batch": given.batch} if given.batch else {}
        if given.height and given.width:
            facts["imgsz"] = (given.height, given.width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not (given.height and given.width)}
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Hold the shards against what the graph says of them, and all files against their sums where there are some.

        Raises:
            ModelFileError: one is damaged or missing.
        """
        for group in self.outline.groups:
            try:
                there = sum((self.root / name).stat().st_size for name in group.files)
            except FileNotFoundError as error:
                raise ModelFileError(
                    self.path, f"it lacks {Path(error.filename).name}, a part of its weights"
                ) from None
            except OSError as error:
                raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
            pipe = next((name for name in group.files if not (self.root / name).is_file()), None)
            if pipe is not None:  # of which there may be no end
                raise ModelFileError(self.path, f"its {pipe} is no file: hostile?")
            if there != group.size:
                raise ModelFileError(
                    self.path, f"its weights should have {group.size} bytes and have {there} (an interrupted copy?)"
                )
        sums = self.notes.get(SUMS)
        if isinstance(sums, dict):
            check_sums(sums, self.root, self.path, METADATA)

    def _members(self) -> set[str]:
        return {self.program.name, *(name for group in self.outline.groups for name in group.files)}


def write_notes(folder: Path, metadata: Metadata) -> None:
    """Put `metadata.yaml` beside the files that are in `folder`, with their sums."""
    sums = {file.name: digest(file) for file in sorted(folder.iterdir())}
    # Other readers expect whole numbers for the classes; JSON, which the plain form is for, has none as keys.
    plain = metadata.to_plain() | {"names": dict(metadata.names)}
    notes = {SEAL: plain.pop(SEAL)} | plain | {SUMS: sums}
    text = yaml.safe_dump(notes, allow_unicode=True, sort_keys=False)
    (folder / METADATA).write_text(text, encoding="utf-8")
