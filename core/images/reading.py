"""One picture, from a file or from bytes to the array that OpenCV users expect.

Pillow decodes: it looks at the header before it allocates anything, refuses a file that is cut off (some versions of
OpenCV return it half grey), keeps the chatter of its libraries off the terminal, and gives the same pixels as OpenCV at
about the same speed. OpenCV stands in for the few TIFF layouts that Pillow does not know. All pictures come out alike:

- orientation (EXIF) applied; the first frame of an animation or a multi-page file;
- grey and palette pictures as three channels, CMYK converted, 16 bits scaled to 8 by their high byte;
- transparency dropped: the stored colours are what a network was trained on.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segkit.core.errors import SourceError, nearest
from segkit.core.images.batch import Picture
from segkit.core.images.chatter import silent
from segkit.core.images.orientation import orientation, upright
from segkit.core.images.signature import is_tiff, what_it_is

MAX_PIXELS = 300_000_000
"""Larger pictures are refused before they are decoded (a 100 kB file can claim gigapixels)."""

_STRIP = 1 << 16
"""Pixels converted at a time: a strip stays in the processor's cache and no second full-size copy exists. The memory of
strips four times as large goes back to the system after each one, which takes as long as half the decoding.
"""

_NO_SCALE = "no agreed brightness; save the picture with 8 or 16 bits a channel"
_pillow_limit = threading.Lock()
_silence = threading.Lock()


def read_picture(source: str | Path | bytes, label: str | None = None) -> Picture:
    """Decode one picture.

    Args:
        source: a file (any name: the content decides), or the bytes of one.
        label: what to call it in an error (default: the path, or the number of bytes).

    Returns:
        (height, width, 3) BGR uint8.

    Raises:
        SourceError: missing, empty, damaged, cut off, larger than `MAX_PIXELS`, or no picture at all.
    """
    data = source if isinstance(source, bytes) else _read_bytes(Path(source))
    label = label or (f"{len(data)} bytes" if isinstance(source, bytes) else str(source))
    try:
        with _tiff_in_silence(data), _open(data) as image:
            _check_size(image, label)
            return _pixels(image, label)
    except SourceError:
        raise
    except UnidentifiedImageError:
        if is_tiff(data):
            return _decode_tiff(data, label)
        raise SourceError(label, what_it_is(data)) from None
    except Exception as error:  # hostile bytes make decoders raise anything
        raise SourceError(label, _damage(error)) from error


def from_pillow(image: Image.Image) -> Picture:
    """A Pillow image of any mode as (height, width, 3) BGR uint8, turned as its EXIF data says.

    Raises:
        SourceError: it cannot be decoded, has no pixels, or holds 32-bit numbers, which have no agreed brightness.
    """
    label = getattr(image, "filename", "") or f"Pillow image {image.mode} {image.width}x{image.height}"
    try:
        return _pixels(image, label)
    except SourceError:
        raise
    except Exception as error:  # opened lazily: the same bytes as above
        raise SourceError(label, _damage(error)) from error


def _check_size(image: Image.Image, label: str) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        size = f"{image.width}x{image.height} is {pixels / 1e6:.0f} megapixels"
        raise SourceError(label, f"{size}, over the limit of {MAX_PIXELS / 1e6:.0f}; cut it into parts")


def _pixels(image: Image.Image, label: str) -> Picture:
    image.load()
    if image.mode in ("I", "F"):
        raise SourceError(label, f"32-bit pixels have {_NO_SCALE}")
    if not image.width * image.height:
        raise SourceError(label, "it has no pixels")
    picture = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        picture[top : top + rows] = _strip_bgr(strip)
    return upright(picture, orientation(image.info.get("exif")))


def _strip_bgr(strip: Image.Image) -> Picture:
    shape = (strip.height, strip.width)
    if strip.mode.startswith("I;16"):
        return _high_byte(np.asarray(strip))[..., None]
    if strip.mode == "L":
        return np.frombuffer(strip.tobytes(), np.uint8).reshape(*shape, 1)
    strip.info.pop("transparency", None)  # else Pillow warns that it is lost
    rgb = strip if strip.mode == "RGB" else strip.convert("RGB")
    return np.frombuffer(rgb.tobytes("raw", "BGR"), np.uint8).reshape(*shape, 3)


def _high_byte(pixels: np.ndarray) -> Picture:
    """16 bits to 8, as every reader of 16-bit pictures does it: never stretched by content, so that frames compare."""
    return (pixels >> 8).astype(np.uint8)


@contextlib.contextmanager
def _open(data: bytes) -> Iterator[Image.Image]:
    """Open without Pillow's own limit: ours is checked instead, and it warns and refuses in one step, not two."""
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


@contextlib.contextmanager
def _tiff_in_silence(data: bytes) -> Iterator[None]:
    """Keep Pillow's warnings about odd TIFF tags off the terminal; one thread at a time: filters are global."""
    if not is_tiff(data):
        yield
        return
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode_tiff(data: bytes, label: str) -> Picture:
    """TIFF layouts that only OpenCV reads, e.g. 16 bits with three channels."""
    with silent():
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error:
            picture = None
    if picture is None:
        raise SourceError(label, "it begins like a TIFF picture, but is damaged or has an unusual layout")
    if picture.dtype == np.uint16:
        return _high_byte(picture)
    if picture.dtype != np.uint8:
        raise SourceError(label, f"{picture.dtype} pixels have {_NO_SCALE}")
    return picture  # type: ignore[return-value]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from error


def missing(path: Path) -> SourceError:
    """The error for a path that does not exist: it names the first absent folder, or the nearest name in the last."""
    for folder in reversed(path.parents):
        if not folder.exists():
            return SourceError(path, f"the folder '{folder}' does not exist")
    if path.is_symlink():
        return SourceError(path, "it is a link to a file that does not exist")
    guess = None
    with contextlib.suppress(OSError):
        guess = nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    return SourceError(path, "no such file or folder" + (f" (did you mean '{guess}'?)" if guess else ""))


def _damage(error: Exception) -> str:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "truncated" in words.lower():
        return "the picture is cut off: the file is incomplete"
    return f"the picture is damaged ({words.rstrip('.')})"
