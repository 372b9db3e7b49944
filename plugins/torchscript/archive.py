"""The outside of a TorchScript file, read with nothing but Python: a zip archive with code, numbers and extra files.

torch's own loader checks neither the sums of an archive nor its sizes, so a file is looked through here before torch
sees it. Code may be compressed; numbers never are, which bounds them by the size of the file. Code of a network has no
business with files: what writes or maps one is refused.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError

CONFIG = "config.txt"
"""The extra file that holds the metadata, as JSON."""

LARGEST = 64 << 20
"""Bytes of compressed parts when unpacked, all together; fifty times the code of the largest scale."""

DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, RuntimeError)
"""What zipfile raises over a damaged archive: its own error, and whatever the damage leads to."""

_CHUNK = 1 << 20

_TOUCHES_FILES = re.compile(rb"\.(?:[\s\\]|#[^\n]*\n)*(save|from_file)\b")
"""torch.save and torch.from_file, the operators of the language that open files, under whatever name torch goes."""


class Archive:
    """A TorchScript file that is open for reading; its parts are named without the folder that holds them all."""

    def __init__(self, path: Path) -> None:
        """Open it and find its parts.

        Raises:
            ModelFileError: it is something else (and what), it is damaged, or it unpacks to more than it can hold.
        """
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise ModelFileError(path, _unreadable(path, error)) from None
        except DAMAGED:
            raise ModelFileError(path, _other_kind(path)) from None
        try:
            self._parts = self._find_parts()
        except BaseException:
            self._zip.close()
            raise

    @property
    def names(self) -> list[str]:
        """The parts, in the order of the file."""
        return list(self._parts)

    def size(self, name: str) -> int:
        """Bytes of a part, unpacked."""
        return self._parts[name].file_size

    def read(self, name: str) -> bytes:
        """A part that is no weight.

        Raises:
            ModelFileError: it is damaged, or far too large.
        """
        info = self._parts[name]
        if info.file_size > LARGEST:
            raise ModelFileError(self.path, f"it is damaged: {name} claims to hold {info.file_size >> 20} MB")
        try:
            with self._zip.open(info) as stream:
                # Not more than was announced: the directory may lie about what a compressed part holds.
                return stream.read(info.file_size)
        except (*DAMAGED, OSError) as error:
            raise ModelFileError(self.path, f"it is damaged at {name} ({error})") from None

    def config(self) -> dict[str, Any]:
        """The keys of `config.txt` as they are; none where there is no such part.

        Raises:
            ModelFileError: it is no JSON object.
        """
        name = f"extra/{CONFIG}"
        if name not in self._parts or not (text := self.read(name).strip()):
            return {}
        try:
            raw: Any = json.loads(text)
        except (ValueError, RecursionError):
            raw = None
        if not isinstance(raw, dict):
            raise ModelFileError(self.path, f"its metadata in {CONFIG} cannot be understood: it is no JSON object")
        return raw

    def metadata(self) -> Metadata:
        """What `config.txt` says. A file that does not say what input it was made for may take any: traced code does
        not tell, and torch complains at the first run.

        Raises:
            ModelFileError: it is not understood.
        """
        metadata = Metadata.parse(self.config(), self.path)
        if metadata.segkit or "imgsz" in metadata.model_fields_set:
            return metadata
        return metadata.model_copy(update={"args": metadata.args | {"dynamic": True}})

    def verify(self) -> None:
        """Read every part against its checksum, and the code for what a network does not do.

        Raises:
            ModelFileError: one is damaged, or its code opens files.
        """
        for name in self._parts:
            if name.startswith("code/") and (found := _TOUCHES_FILES.search(self.read(name))):
                raise ModelFileError(
                    self.path, f"its code opens files ('{found[1].decode()}' in {name}): a hostile file?"
                )
        for name, info in self._parts.items():
            try:
                with self._zip.open(info) as stream:
                    while stream.read(_CHUNK):
                        pass
            except (*DAMAGED, OSError) as error:
                raise ModelFileError(
                    self.path, f"it is damaged at {name} ({error}). Download or export it again"
                ) from None

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _find_parts(self) -> dict[str, zipfile.ZipInfo]:
        root = _root(self._zip.namelist())
        if root is None:
            raise ModelFileError(self.path, "it is a zip archive without compiled code in it, no TorchScript")
        entries = self._zip.infolist()
        if len({info.filename for info in entries}) < len(entries) or min(info.header_offset for info in entries):
            # Two readers could then see two different models.
            raise ModelFileError(self.path, "it is damaged: it has parts of the same name, or bytes in front of them")
        self._check_sizes(entries)
        return {info.filename.removeprefix(root): info for info in entries if info.filename.startswith(root)}

    def _check_sizes(self, entries: list[zipfile.ZipInfo]) -> None:
        """Before anything is unpacked: what the directory announces must be able to be true."""
        stored = sum(info.file_size for info in entries if info.compress_type == zipfile.ZIP_STORED)
        packed = sum(info.file_size for info in entries if info.compress_type != zipfile.ZIP_STORED)
        if packed > LARGEST:
            raise ModelFileError(self.path, f"it unpacks to more than {LARGEST >> 20} MB of code: a hostile file?")
        if stored > self.path.stat().st_size:
            raise ModelFileError(self.path, "it is damaged: its parts overlap")


def open_archive(path: Path) -> closing[Archive]:
    """`Archive(path)` for a block, closed at its end."""
    return closing(Archive(path))


def is_torchscript(path: Path) -> bool:
    """Whether `path` is an archive with compiled code in it; only its directory is read."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _root(archive.namelist()) is not None
    except (*DAMAGED, OSError):
        return False


def _root(names: list[str]) -> str | None:
    """The folder of everything in an archive, "name/", whatever the file is called by now; None if it is no compiled
    model: that one has constants and code.
    """
    root = names[0].partition("/")[0] + "/" if names else ""
    compiled = f"{root}constants.pkl" in names and any(name.startswith(f"{root}code/") for name in names)
    return root if compiled else None


def _unreadable(path: Path, error: OSError) -> str:
    return "it is a folder, not a TorchScript file" if path.is_dir() else (error.strerror or str(error)).lower()


def _other_kind(path: Path) -> str:
    """What a file that is no zip archive is, where its first bytes tell."""
    with path.open("rb") as stream:
        head = stream.read(512).lstrip().lower()
    if not head:
        return "the file is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not a TorchScript file (a download that failed?)"
    if head.startswith(b"pk\x03\x04"):
        return (
            "it is cut off or damaged: the directory at the end of the archive is missing. Download or export it again"
        )
    return "it is not a TorchScript file: no zip archive"
