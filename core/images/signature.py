"""What a file is, by its first bytes: picture or video, and words for an error message where it cannot be read."""

from __future__ import annotations

import re

HEAD = 1024
"""Bytes from the beginning of a file that are enough to tell what it is."""

_BMP = b"BM"
_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (_BMP, "BMP"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_OTHERS = (
    (b"\xff\x0a", "JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL picture"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x93NUMPY", "numpy file"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"FLV\x01",
    b"OggS",
    b"\0\0\1\xba",  # MPEG program stream
    b"\0\0\1\xb3",  # MPEG video
)
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_PACKET = 188


def is_tiff(data: bytes) -> bool:
    """Whether `data` begins like a TIFF file, of either byte order, classic or big."""
    return data.startswith(_TIFF)


def is_video(head: bytes) -> bool:
    """Whether a file that begins like this holds a video, or only sound."""
    if head[4:8] == b"ftyp":
        return head[8:12] not in _HEIC + _AVIF
    if head[4:8] in (b"moov", b"mdat", b"wide") or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    # Packets of an MPEG transport stream begin with a G; those of cameras and discs have a time of 4 bytes before it.
    packets = (head[start : start + 3 * step : step] for start, step in ((0, _PACKET), (4, _PACKET + 4)))
    return head.startswith(_VIDEOS) or b"GGG" in packets


def is_picture(head: bytes) -> bool:
    """Whether a file that begins like this holds a picture."""
    beginnings = tuple(beginning for beginning, _ in _PICTURES if beginning != _BMP)
    bitmap = head.startswith(_BMP) and head[6:10] == bytes(4)  # two letters alone may be those of a text
    container = (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or (
        head[4:8] == b"ftyp" and head[8:12] in _HEIC + _AVIF
    )
    return container or bitmap or is_tiff(head) or head.startswith(beginnings) or bool(re.match(rb"P[1-7]\s", head))


def text_of(data: bytes) -> str | None:
    """`data` as text, without the mark that some editors put before it; None if it is none."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if any(ord(char) < 32 and char not in "\t\r\n\f" for char in text) else text


def what_it_is(data: bytes, wanted: str = "picture") -> str:
    """The end of the sentence "Cannot read 'x': …" for bytes that no decoder of what was `wanted` recognised."""
    if not data:
        return "the file is empty"
    for beginning, words in _PICTURES:
        if data.startswith(beginning):
            return f"it begins like a {words} picture, but is damaged"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "it begins like a WebP picture, but is damaged"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return "it is a HEIC picture, which is not read here; convert it to JPEG or PNG"
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF:
        return "it begins like an AVIF picture, but is damaged or this Pillow has no AVIF decoder"
    if is_video(data[:HEAD]):
        return f"it is a video or audio file, not a {wanted}"
    for beginning, words in _OTHERS:
        if data.startswith(beginning):
            return f"it is a {words}, which is not read here"
    return _text(data[:512], wanted) or f"it is not a {wanted} of any known format"


def is_text(head: bytes) -> bool:
    """Whether a file that begins like this holds text."""
    return _beginning(head[:512]) is not None


def _beginning(start: bytes) -> str | None:
    """The text that a file begins with; a character may be cut at the end of the sample."""
    texts = (text_of(start[: len(start) - cut]) for cut in range(4))
    return next((text for text in texts if text), None)


def _text(start: bytes, wanted: str) -> str | None:
    text = _beginning(start)
    if text is None:
        return None
    if text.startswith("version https://git-lfs"):
        return f"it is a Git LFS pointer, not the {wanted} itself; run: git lfs pull"
    if text.lstrip().lower().startswith(("<!doctype html", "<html")):
        return f"it is an HTML page, not a {wanted} (a failed download?)"
    return f"it is a text file, not a {wanted}"
