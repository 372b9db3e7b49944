"""Says what a file is that is not a checkpoint: users should read "an HTML page", not "invalid load key '<'"."""

from __future__ import annotations

import json
from pathlib import Path

from segkit.core.errors import ModelFileError

_HEAD = 4096
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/", "a Git LFS pointer, not the file itself: run 'git lfs pull'"),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a checkpoint in torch's layout before 1.6: save it anew"),
    (257, b"ustar", "a tar archive, perhaps torch's oldest layout: save it anew"),
    (0, b"\x1f\x8b", "gzip-compressed: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\x89HDF", "an HDF5 file (Keras), not a torch checkpoint"),
    (4, b"TFL3", "a TensorFlow Lite model, not a torch checkpoint"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)


def check_readable(path: Path) -> bytes:
    """The first bytes of a file that exists, is a file and is not empty.

    Raises:
        ModelFileError: it is missing, a folder, empty or unreadable.
    """
    try:
        if not path.exists():
            raise ModelFileError(path, "there is no such file")
        if path.is_dir():
            raise ModelFileError(path, "it is a folder, not a checkpoint")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelFileError(path, error.strerror or str(error)) from None
    if not head:
        raise ModelFileError(path, "the file is empty")
    return head


def describe(head: bytes) -> str:
    """What a file with these first bytes is, as the end of a sentence that begins "it is"."""
    for offset, magic, what in _MAGIC:
        if head[offset:].startswith(magic):
            return what
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page (a failed download?), not a checkpoint"
    if start.startswith(b"<?xml"):
        return "an XML document, not a checkpoint"
    if _is_json(start):
        return "a JSON text, not a checkpoint"
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "a bare pickle, not a checkpoint that torch wrote"
    if b"\0" not in head and _is_text(head):
        return "a text file, not a checkpoint"
    return "neither a torch checkpoint nor a safetensors file"


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether these first bytes are a safetensors header: its length, then JSON."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8


def _is_json(start: bytes) -> bool:
    if start[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(start)
    except (ValueError, RecursionError):
        return start[1:].lstrip()[:1] in (b'"', b"{", b"[", b"}")
    return True


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 4 if len(head) == _HEAD else None].decode()
    except UnicodeDecodeError:
        return False
    return True
