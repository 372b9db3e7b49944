"""The file: a flatbuffer, and behind it a zip archive with what segkit says; read with nothing but Python.

The runtime checks no sums: a flipped bit in a weight is computed with. So the file is looked through here first.
"""

from __future__ import annotations

import ast
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.plugins.shared.notes import LARGEST, TooLongError, read_entry
from segkit.plugins.shared.operators import touching
from segkit.plugins.shared.pictures import Pictures, words
from segkit.plugins.tflite.outline import MAGIC, Outline, read_outline

NOTES = "metadata.json"
"""The entry of the archive."""

SUM = "sha256"
"""Key of the notes: SHA-256 of the flatbuffer, all that comes before the archive."""

_LARGEST_SIDE = 1 << 15
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class LiteFile:
    """A file of TensorFlow Lite."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """All of it.

        Raises:
            ModelFileError: it cannot be read, or is something else.
        """
        if self.path.is_dir():
            raise ModelFileError(self.path, "it is a folder, not a file of TensorFlow Lite")
        try:
            with self.path.open("rb") as stream:
                head = stream.read(8)
                content = head + stream.read() if head[4:] == MAGIC else b""
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        if not content:
            raise ModelFileError(self.path, "it is no file of TensorFlow Lite" if head else "it is empty")
        return content

    @cached_property
    def outline(self) -> Outline:
        """The network from outside.

        Raises:
            ModelFileError: it is damaged.
        """
        try:
            return read_outline(self.content)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"it is damaged: {error}") from None

    @cached_property
    def _archive(self) -> tuple[Mapping[str, Any], int]:
        """What the archive says, and where it begins; nothing and the whole length where there is none."""
        length = len(self.content)
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
                named = [entry for entry in entries if entry.filename == NOTES] or entries[:1]
                if not named:
                    return {}, length
                text = read_entry(archive, named[0])
                begin = min(entry.header_offset for entry in entries)
        except TooLongError:
            raise ModelFileError(self.path, "its metadata cannot be understood: they are too long") from None
        except zipfile.BadZipFile as error:
            tail = self.content[-LARGEST:]
            if b"PK\x05\x06" in tail[-(1 << 16) :] or (b"PK\x03\x04" in tail and NOTES.encode() in tail):
                raise ModelFileError(self.path, f"its metadata are damaged ({error})") from None
            return {}, length
        except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
            raise ModelFileError(self.path, f"its metadata are damaged ({error})") from None
        return self._parsed(text), begin

    def _parsed(self, text: str) -> Mapping[str, Any]:
        for parse in (json.loads, ast.literal_eval):  # the second as older tools write them
            try:
                notes = parse(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(notes, dict):
                return {str(key): value for key, value in notes.items()}
        raise ModelFileError(self.path, "its metadata cannot be understood: they hold no keys")

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the file says about itself; empty where it says nothing.

        Raises:
            ModelFileError: it cannot be understood.
        """
        return self._archive[0]

    def metadata(self) -> Metadata | None:
        """The notes as metadata, None where there is nothing; sizes that the network fixes win over them.

        Raises:
            ModelFileError: they are not understood, or the file is damaged.
        """
        inputs = self.outline.inputs
        metadata = Metadata.parse({key: value for key, value in self.notes.items() if key != SUM}, self.path)
        given = Pictures.of(inputs[0].info) if inputs else None
        if given is None:
            return metadata if self.notes else None
        if max(given.batch or 0, given.height or 0, given.width or 0) > _LARGEST_SIDE:
            raise ModelFileError(self.path, f"its input of {words(inputs[0].info)} is larger than any picture")
        facts: dict[str, Any] = {"batch": given.batch} if given.batch else {}
        if given.height and given.width:
            facts["imgsz"] = (given.height, given.width)
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Look through the tables, and hold the flatbuffer against its sum where there is one.

        Raises:
            ModelFileError: it is damaged or hostile.
        """
        (notes, begin), outline = self._archive, self.outline
        # TensorFlow's own interpreter runs its operators too, under this prefix.
        hostile = touching(name.removeprefix("Flex") for name in outline.operators)
        if hostile:
            raise ModelFileError(self.path, f"its graph calls '{hostile[0]}', which no network does: hostile?")
        wanted = notes.get(SUM)
        if wanted is not None and wanted != digest(memoryview(self.content)[:begin]):
            raise ModelFileError(
                self.path,
                "it is damaged or was changed: not what its metadata have the sum of. Copy or export it again",
            )


def write_file(target: Path, content: bytes, metadata: Metadata) -> None:
    """Put a flatbuffer into a file, with the metadata behind it."""
    target.write_bytes(content)
    notes = json.dumps(metadata.to_plain() | {SUM: digest(content)}, ensure_ascii=False, indent=1)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(NOTES, _EPOCH), notes)


def digest(content: bytes | memoryview) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
