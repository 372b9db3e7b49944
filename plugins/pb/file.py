"""The file: a frozen graph, and what segkit says about it in a node of its own; read with nothing but Python.

TensorFlow checks no sums: a flipped bit in a weight is computed with. So the file is looked through here first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.protobuf import Content
from segkit.core.yamls import read_yaml
from segkit.plugins.pb.outline import Outline, read_outline
from segkit.plugins.shared.operators import touching
from segkit.plugins.shared.pictures import Pictures, words

SIDECAR = ".yaml"
"""Ending of a file beside, behind the whole name, that tells of a file which says nothing itself."""

SUM = "sha256"
"""Key of the notes: SHA-256 of all that comes before them; in a file beside, of the whole file."""

_LARGEST_SIDE = 1 << 15
_NODE = b"\n"
"""What a graph begins with: the number of its field for nodes."""


@dataclass(frozen=True)
class GraphFile:
    """A frozen graph."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """All of it.

        Raises:
            ModelFileError: it cannot be read, or is none.
        """
        if self.path.is_dir():
            raise ModelFileError(self.path, "it is a folder, not a frozen graph of TensorFlow")
        try:
            with self.path.open("rb") as stream:
                head = stream.read(2)
                content = head + stream.read() if head[:1] == _NODE else b""
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        if not content:
            kind = "it is no frozen graph of TensorFlow" if head else "it is empty"
            if head == b"\x08\x01" and self.path.name == "saved_model.pb":
                kind = "it is the program of a SavedModel, whose folder is the model"
            raise ModelFileError(self.path, kind)
        return content

    @cached_property
    def outline(self) -> Outline:
        """The graph from outside.

        Raises:
            ModelFileError: it is damaged, or something else.
        """
        try:
            return read_outline(self.content)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"it is no frozen graph of TensorFlow, or damaged: {error}") from None

    @cached_property
    def notes(self) -> Mapping[str, Any]:
        """What the file says about itself, or what a file beside it, `{name}.yaml`, says; empty where neither does.

        Raises:
            ModelFileError: it cannot be understood.
        """
        if self.outline.notes is None:
            return self._beside()
        try:
            notes = json.loads(self.outline.notes)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"its metadata cannot be understood ({error})") from None
        if not isinstance(notes, dict):
            raise ModelFileError(self.path, "its metadata cannot be understood: it holds no keys")
        return notes

    def metadata(self) -> Metadata | None:
        """The notes as metadata, None where there is nothing; sizes that the graph fixes win over them.

        Raises:
            ModelFileError: they are not understood, or the graph is damaged.
        """
        metadata = Metadata.parse({key: value for key, value in self.notes.items() if key != SUM}, self.path)
        given = Pictures.of(self.outline.inputs[0]) if self.outline.inputs else None
        if given is None:
            return metadata if self.notes else None
        if max(given.batch or 0, given.height or 0, given.width or 0) > _LARGEST_SIDE:
            raise ModelFileError(self.path, f"its input of {words(self.outline.inputs[0])} is larger than any picture")
        facts: dict[str, Any] = {"batch": given.batch} if given.batch else {}
        if given.height and given.width:
            facts["imgsz"] = (given.height, given.width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not (given.height and given.width)}
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Look through the graph, and hold it against its sum where there is one.

        Raises:
            ModelFileError: it is damaged or hostile.
        """
        hostile = touching(self.outline.operators)
        if hostile:
            raise ModelFileError(self.path, f"its graph calls '{hostile[0]}', which no network does: hostile?")
        wanted = self.notes.get(SUM)
        summed = memoryview(self.content)[: self.outline.body]
        if wanted is not None and wanted != digest(summed):
            where = "its metadata have" if self.outline.notes is not None else f"{self.path.name}{SIDECAR} has"
            raise ModelFileError(
                self.path, f"it is damaged or was changed: not what {where} the sum of. Copy or export it again"
            )

    def _beside(self) -> Mapping[str, Any]:
        place = self.path.with_name(self.path.name + SIDECAR)
        try:
            raw = read_yaml(place)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ModelFileError(self.path, f"the {place.name} beside it cannot be understood: {error}") from None
        if not isinstance(raw, dict):
            raise ModelFileError(self.path, f"the {place.name} beside it cannot be understood: it holds no keys")
        return {str(key): value for key, value in raw.items()}


def notes_of(metadata: Metadata, body: Content) -> str:
    """What a file says about itself, as the text of a node that comes behind `body`."""
    return json.dumps(metadata.to_plain() | {SUM: digest(body)}, ensure_ascii=False)


def digest(content: Content) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
