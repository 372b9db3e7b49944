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
from segkit.plugins.edgetpu.graph import COMPILED, Graph, is_lite, read_graph
from segkit.plugins.edgetpu.log import Mapped
from segkit.plugins.shared.notes import LARGEST, TooLongError, read_entry

NOTES = "metadata.json"
"""The entry of the archive."""

SUM, OWN = "sha256", "edgetpu"
"""Keys of the notes beside the metadata: SHA-256 of the flatbuffer; what outputs hold and what the compiler said."""

ENDING = "_edgetpu"
"""What the compiler adds to a name before its suffix."""

_LARGEST_SIDE = 1 << 15
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class EdgeFile:
    """A file that is compiled for the Edge TPU, or is made for that."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """All of it.

        Raises:
            ModelFileError: it cannot be read, or is something else.
        """
        if self.path.is_dir():
            raise ModelFileError(self.path, "it is a folder, not a file for the Edge TPU")
        try:
            with self.path.open("rb") as stream:
                head = stream.read(8)
                content = head + stream.read() if is_lite(head) else b""
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        if not content:
            raise ModelFileError(self.path, "it is no file for the Edge TPU" if head else "it is empty")
        return content

    @cached_property
    def graph(self) -> Graph:
        """The network.

        Raises:
            ModelFileError: it is damaged.
        """
        try:
            return read_graph(self.content)
        except (ValueError, RecursionError) as error:
            raise ModelFileError(self.path, f"it is damaged: {error}") from None

    @property
    def compiled(self) -> bool:
        """Whether the compiler has been at it."""
        return any(call.operator == COMPILED for call in self.graph.calls)

    @property
    def network(self) -> bytes:
        """The flatbuffer alone."""
        return self.content[: self._archive[1]]

    @cached_property
    def _archive(self) -> tuple[Mapping[str, Any], int]:
        """What the archive says, and where it begins; nothing and the whole length where there is none."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
                named = [entry for entry in entries if entry.filename == NOTES] or entries[:1]
                if not named:
                    return {}, len(self.content)
                text = read_entry(archive, named[0])
                begin = min(entry.header_offset for entry in entries)
        except TooLongError:
            raise ModelFileError(self.path, "its metadata cannot be understood: they are too long") from None
        except zipfile.BadZipFile as error:
            tail = self.content[-LARGEST:]
            if b"PK\x05\x06" in tail[-(1 << 16) :] or (b"PK\x03\x04" in tail and NOTES.encode() in tail):
                raise ModelFileError(self.path, f"its metadata are damaged ({error})") from None
            return {}, len(self.content)
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
        """What the file says about itself; where the compiler was called by hand, what the file beside it says which
        it was given. Empty where neither is there.

        Raises:
            ModelFileError: it cannot be understood.
        """
        own = self._archive[0]
        before = self.path.with_name(f"{self.path.stem.removesuffix(ENDING)}{self.path.suffix}")
        if own or before == self.path or not before.is_file():
            return own
        try:
            return {key: value for key, value in EdgeFile(before)._archive[0].items() if key != SUM}
        except ModelFileError:  # it may be anything
            return own

    @property
    def _own(self) -> Mapping[str, Any]:
        own = self.notes.get(OWN)
        return own if isinstance(own, dict) else {}

    @property
    def mapped(self) -> Mapped | None:
        """What the compiler said, where segkit has called it."""
        return Mapped.of(self._own.get("log"))

    @property
    def outputs(self) -> Mapping[str, str]:
        """What its outputs hold, by the names of their tensors, where segkit has cut the network; else nothing."""
        found = self._own.get("outputs")
        return {str(tensor): str(what) for tensor, what in found.items()} if isinstance(found, dict) else {}

    def metadata(self) -> Metadata | None:
        """The notes as metadata, None where there is nothing; sizes that the network fixes win over them.

        Raises:
            ModelFileError: they are not understood, or the file is damaged.
        """
        notes = {key: value for key, value in self.notes.items() if key not in (SUM, OWN)}
        metadata = Metadata.parse(notes, self.path)
        shape = self.graph.inputs[0][1].shape if self.graph.inputs else ()
        sides = [side for side in shape if isinstance(side, int)]
        if len(sides) != 4 or sides[-1] != 3:
            return metadata if notes else None
        if max(sides) > _LARGEST_SIDE:
            raise ModelFileError(self.path, f"its input of {'x'.join(map(str, sides))} is larger than any picture")
        batch, height, width, _ = sides
        return metadata.model_copy(update={"batch": batch, "imgsz": (height, width)})

    def verify(self) -> None:
        """Look through the tables, and hold the flatbuffer against its sum where there is one.

        Raises:
            ModelFileError: it is damaged.
        """
        (notes, begin), _ = self._archive, self.graph
        wanted = notes.get(SUM)
        if wanted is not None and wanted != digest(memoryview(self.content)[:begin]):
            raise ModelFileError(
                self.path,
                "it is damaged or was changed: not what its metadata have the sum of. Copy or export it again",
            )


def write_file(
    target: Path, content: bytes, metadata: Metadata, outputs: Mapping[str, str], mapped: Mapped | None
) -> None:
    """Put a flatbuffer into a file, with the metadata behind it, what its outputs hold, and the compiler's words."""
    target.write_bytes(content)
    own = {"outputs": dict(outputs), "log": mapped.to_plain() if mapped else None}
    notes = metadata.to_plain() | {SUM: digest(content), OWN: own}
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(NOTES, _EPOCH), json.dumps(notes, ensure_ascii=False, indent=1))


def digest(content: bytes | memoryview) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
