"""What a file that is no readable picture seems to be, in words for an error message."""

from __future__ import annotations

_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_OTHERS = (
    (b"\xff\x0a", "JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL picture"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"\x93NUMPY", "numpy file"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(data: bytes) -> bool:
    """Whether `data` begins like a TIFF file, of either byte order, classic or big."""
    return data.startswith(_TIFF)


def what_it_is(data: bytes) -> str:
    """The end of the sentence "Cannot read 'x': …" for bytes that no decoder recognised."""
    if not data:
        return "the file is empty"
    for beginning, words in _PICTURES:
        if data.startswith(beginning):
            return f"it begins like a {words} picture, but is damaged"
    for beginning, words in _OTHERS:
        if data.startswith(beginning):
            return f"it is a {words}, which is not read here"
    if data[:4] == b"RIFF":
        webp = data[8:12] == b"WEBP"
        return "it begins like a WebP picture, but is damaged" if webp else "it is a sound or video file, not a picture"
    if data[4:8] == b"ftyp":
        return _media_container(data[8:12])
    return _text(data[:512]) or "it is not a picture of any known format"


def _media_container(brand: bytes) -> str:
    if brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "it is a HEIC picture, which is not read here; convert it to JPEG or PNG"
    if brand in (b"avif", b"avis"):
        return "it begins like an AVIF picture, but is damaged or this Pillow has no AVIF decoder"
    return "it is a video or audio file, not a picture"


def _text(start: bytes) -> str | None:
    try:
        # A character may be cut at the end of the sample.
        text = start.decode("utf-8", errors="strict" if len(start) < 512 else "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in "\t\r\n\f" for character in text):
        return None
    if text.startswith("version https://git-lfs"):
        return "it is a Git LFS pointer, not the picture itself; run: git lfs pull"
    if text.lstrip().lower().startswith(("<!doctype html", "<html")):
        return "it is an HTML page, not a picture (a failed download?)"
    return "it is a text file, not a picture"
