"""The kinds of source, one function each: it returns the entries of a source it knows, or None.

A new kind (a video, a camera) is one more function in `KINDS`; nothing else changes. Functions that meet a source of
their kind with a fault in it raise SourceError.
"""

from __future__ import annotations

import glob
import stat
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Never

import numpy as np

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture
from segkit.core.images.fetch import fetch, is_address, name_of
from segkit.core.images.items import Content, Entry
from segkit.core.images.reading import from_pillow, missing, read_picture

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""What counts as a picture in a folder. Some need a decoder that may be absent: better reported than passed over."""

ACCEPTED = (
    "a picture file, its http(s) address, a folder, a pattern like 'photos/**/*.jpg', a numpy array (BGR, uint8), "
    "a Pillow image, a torch tensor (RGB, 0..1), the bytes of a picture file, or a list of these"
)

Kind = Callable[[Any], Iterable[Entry] | None]


def expand(source: object) -> Iterable[Entry]:
    """The entries of `source`.

    Raises:
        SourceError: nothing there, no picture in it, or not a kind of source.
    """
    for kind in KINDS:
        entries = kind(source)
        if entries is not None:
            return entries
    raise SourceError(_shown(source), f"{type(source).__name__} is not a source. Give {ACCEPTED}")


def _address(source: Any) -> Iterable[Entry] | None:
    if not is_address(source):
        return None
    return [Entry(lambda: Content(read_picture(fetch(source), source)), name_of(source))]


def _paths(source: Any) -> Iterable[Entry] | None:
    if not isinstance(source, str | Path):
        return None
    text = str(source)
    if not text.strip():
        raise SourceError(source, f"the source is empty. Give {ACCEPTED}")
    if isinstance(source, str) and "://" in text:
        raise SourceError(source, f"only http and https addresses are read. Give {ACCEPTED}")
    path = Path(text).expanduser()
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return [_file(found) for found in _pictures_in(path)]
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # /dev/zero never ends
        raise SourceError(source, "it is a device, not a picture file")
    if mode:
        return [_file(path)]
    if glob.has_magic(text):
        return [_file(found) for found in _matches(str(path))]
    raise missing(path)


def _mode(path: Path) -> int:
    """What is at `path`, as `stat` tells it; 0 where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return 0
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from error


def _file(path: Path) -> Entry:
    return Entry(lambda: Content(read_picture(path)), str(path))


def _pictures_in(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if _is_picture(path))
    except OSError as error:
        raise SourceError(folder, (error.strerror or str(error)).lower()) from error
    if not found:
        raise SourceError(folder, "the folder holds no pictures (subfolders are searched with a pattern: '**/*.jpg')")
    return found


def _matches(pattern: str) -> list[Path]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = sorted(path for path in map(Path, names) if _is_picture(path))
    if not found:
        problem = f"none of the {len(names)} names that match is a picture" if names else "nothing matches this pattern"
        raise SourceError(pattern, problem)
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _bytes(source: Any) -> Iterable[Entry] | None:
    if not isinstance(source, bytes | bytearray | memoryview):
        return None
    data = bytes(source)
    return [Entry(lambda: Content(read_picture(data)))]


def _array(source: Any) -> Iterable[Entry] | None:
    if not isinstance(source, np.ndarray):
        return None
    picture = _bgr(source)
    return [Entry(lambda: Content(picture))]


def _bgr(array: np.ndarray) -> Picture:
    """Check a user's array; a colour picture is used as it is, without a copy where its rows lie together."""
    if array.dtype != np.uint8:
        raise _bad_array(array, "its numbers must be uint8, 0 to 255")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; it looks like (channels, height, width): transpose it"
        elif array.ndim == 4:
            hint = "; give a batch as a list: list(array)"
        raise _bad_array(array, f"its shape must be (height, width, 3) in BGR order, or (height, width) for grey{hint}")
    if not array.size:
        raise _bad_array(array, "it has no pixels")
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def _bad_array(array: np.ndarray, problem: str) -> SourceError:
    return SourceError(f"array of shape {array.shape}, {array.dtype}", problem)


def _pillow(source: Any) -> Iterable[Entry] | None:
    module = sys.modules.get("PIL.Image")
    if module is None or not isinstance(source, module.Image):
        return None
    return [Entry(lambda: Content(from_pillow(source)), str(getattr(source, "filename", "")) or None)]


def _tensor(source: Any) -> Iterable[Entry] | None:
    torch = sys.modules.get("torch")  # a tensor cannot exist before somebody imported it
    if torch is None or not isinstance(source, torch.Tensor):
        return None
    shown = f"tensor of shape {tuple(source.shape)}, {source.dtype}"
    if not source.is_floating_point():
        raise SourceError(shown, "its numbers must be floats, RGB from 0 to 1 (divide bytes by 255)")
    if source.ndim not in (3, 4) or source.shape[-3] != 3 or 0 in source.shape:
        raise SourceError(shown, "its shape must be (3, height, width) or (batch, 3, height, width)")
    batch = source.detach().cpu().float().numpy().reshape(-1, *source.shape[-3:])
    low, high = float(batch.min()), float(batch.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also catches NaN
        raise SourceError(shown, f"its numbers must lie between 0 and 1, but go from {low:g} to {high:g}")
    return [Entry(partial(_from_planes, planes)) for planes in batch]


def _from_planes(planes: np.ndarray) -> Content:
    rgb = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)
    return Content(np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0)), np.ascontiguousarray(planes, np.float32))


def _several(source: Any) -> Iterable[Entry] | None:
    """A list of sources. One that cannot be opened takes its place as an unreadable entry, unless all of them are."""
    if not isinstance(source, list | tuple):
        return None
    entries: list[Entry] = []
    errors: list[SourceError] = []
    for part in source:
        try:
            entries.extend(expand(part))
        except SourceError as error:
            errors.append(error)
            entries.append(Entry(_raiser(error), str(part) if isinstance(part, str | Path) else None))
    if not entries:
        raise SourceError("[]", f"the list is empty. Give {ACCEPTED}")
    if len(errors) == len(source):
        raise errors[0]
    return entries


def _raiser(error: SourceError) -> Callable[[], Content]:
    def read() -> Never:
        raise error

    return read


def _shown(source: object) -> str:
    return " ".join(repr(source).split())


KINDS: list[Kind] = [_address, _paths, _array, _tensor, _pillow, _bytes, _several]
