"""The folder: a SavedModel, and what segkit says about it; read with nothing but Python.

TensorFlow checks no sums: a flipped bit in a weight is computed with. So the folder is looked through here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.yamls import read_yaml
from segkit.plugins.saved_model.outline import Outline, read_outline
from segkit.plugins.shared.pictures import Pictures, words
from segkit.plugins.shared.sums import check_sums, digest

METADATA = "metadata.yaml"
PROGRAM = "saved_model.pb"

SUMS = "sha256"
"""Key in METADATA: SHA-256 of the other files by their path in the folder."""

_SEAL, _LAST = "segkit", "toolchain"
"""The last key of what segkit writes, and the last one in it: what has sums and lacks these was cut off."""

_LARGEST_SIDE = 1 << 15
_MAGIC = b"\x08\x01"
"""What a SavedModel begins with: the number of its schema, 1."""


@dataclass(frozen=True)
class Folder:
    """A SavedModel.

    Attributes:
        path: as the user gave it.
        program: its `saved_model.pb`.
    """

    path: Path
    program: Path

    @classmethod
    def find(cls, path: Path) -> Folder:
        """Of a folder, or of the `saved_model.pb` inside it.

        Raises:
            ModelFileError: it is something else (and what).
        """
        program = path / PROGRAM if path.is_dir() else path
        if program.name != PROGRAM:
            raise ModelFileError(path, f"it is no folder with a {PROGRAM}")
        if not program.is_file():
            raise ModelFileError(path, f"it has no {PROGRAM}")
        try:
            with program.open("rb") as stream:
                head = stream.read(len(_MAGIC))
        except OSError as error:
            raise ModelFileError(path, (error.strerror or str(error)).lower()) from None
        if head != _MAGIC:
            raise ModelFileError(path, f"its {PROGRAM} is no SavedModel" + ("" if head else ": it is empty"))
        return cls(path, program)

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.program.parent

    @cached_property
    def outline(self) -> Outline:
        """The program from outside.

        Raises:
            ModelFileError: it is damaged, or has no signature to run.
        """
        try:
            return read_outline(self.program.read_bytes())
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"its {PROGRAM} cannot be used: {error}") from None

    @cached_property
    def notes(self) -> dict[str, Any]:
        """The keys of `metadata.yaml` as they are; none where there is no such file.

        Raises:
            ModelFileError: it cannot be understood.
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
        return {str(key): value for key, value in raw.items()}

    def metadata(self) -> Metadata | None:
        """What `metadata.yaml` says, None where there is nothing; sizes that the program fixes win over it.

        Raises:
            ModelFileError: it is not understood, or the program is damaged.
        """
        inputs = self.outline.inputs
        metadata = Metadata.parse({key: value for key, value in self.notes.items() if key != SUMS}, self.path)
        given = Pictures.of(inputs[0].info) if inputs else None
        if given is None:
            return metadata if self.notes else None
        if max(given.batch or 0, given.height or 0, given.width or 0) > _LARGEST_SIDE:
            raise ModelFileError(self.path, f"its input of {words(inputs[0].info)} is larger than any picture")
        facts: dict[str, Any] = {"batch": given.batch} if given.batch else {}
        if given.height and given.width:
            facts["imgsz"] = (given.height, given.width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not (given.height and given.width)}
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Look through the program, and hold the files against their sums where there are some.

        Raises:
            ModelFileError: one is damaged, missing or hostile.
        """
        hostile = self.outline.touching
        if hostile:
            raise ModelFileError(self.path, f"its graph calls '{hostile[0]}', which no network does: hostile?")
        sums, seal = self.notes.get(SUMS), self.notes.get(_SEAL)
        if not {SUMS, _SEAL} & self.notes.keys():
            return
        if not isinstance(sums, dict) or not isinstance(seal, dict) or _LAST not in seal:
            raise ModelFileError(self.path, f"its {METADATA} breaks off (an interrupted copy?)")
        check_sums(sums, self.root, self.path, METADATA)


def write_notes(folder: Path, metadata: Metadata) -> None:
    """Put `metadata.yaml` beside the files that are in `folder`, with their sums."""
    sums = {file.relative_to(folder).as_posix(): digest(file) for file in _files(folder)}
    # Sums come first, so that what breaks off has them. Other readers expect whole numbers for the classes; JSON, which
    # the plain form is for, has none as keys.
    notes = {SUMS: sums} | metadata.to_plain() | {"names": dict(metadata.names)}
    text = yaml.safe_dump(notes, allow_unicode=True, sort_keys=False)
    (folder / METADATA).write_text(text, encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(item for item in folder.rglob("*") if item.is_file() and item.name != METADATA)
