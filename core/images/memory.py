"""Sources that are in memory already: arrays, tensors, Pillow images, the bytes of a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture
from segkit.core.images.items import Content, Context, Entry, one
from segkit.core.images.reading import from_pillow
from segkit.core.images.signature import HEAD, is_video
from segkit.core.images.video import bytes_contents


def array(source: Any, context: Context) -> Sequence[Entry] | None:
    """A numpy array (uint8): (H, W, 3) BGR, (H, W, 4) BGRA, (H, W) or (H, W, 1) grey."""
    if not isinstance(source, np.ndarray):
        return None
    picture = _bgr(source)
    return [Entry.of(lambda: Content(picture))]


def _bgr(pixels: np.ndarray) -> Picture:
    """Check a user's array; a colour picture is used as it is, without a copy where its rows lie together."""
    if pixels.dtype != np.uint8:
        raise _bad_array(pixels, "its numbers must be uint8, 0 to 255")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        hint = ""
        if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4):
            hint = "; it looks like (channels, height, width): transpose it"
        elif pixels.ndim == 4:
            hint = "; give a batch as a list: list(array)"
        raise _bad_array(
            pixels, f"its shape must be (height, width, 3) in BGR order, or (height, width) for grey{hint}"
        )
    if not pixels.size:
        raise _bad_array(pixels, "it has no pixels")
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _bad_array(pixels: np.ndarray, problem: str) -> SourceError:
    return SourceError(f"array of shape {pixels.shape}, {pixels.dtype}", problem)


def pillow(source: Any, context: Context) -> Sequence[Entry] | None:
    """A Pillow image of any mode."""
    module = sys.modules.get("PIL.Image")
    if module is None or not isinstance(source, module.Image):
        return None
    return [Entry.of(lambda: Content(from_pillow(source)), str(getattr(source, "filename", "")) or None)]


def tensor(source: Any, context: Context) -> Sequence[Entry] | None:
    """A torch tensor, RGB 0..1: (3, H, W) or (B, 3, H, W), network input as it is."""
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
    return [Entry.of(partial(_from_planes, planes)) for planes in batch]


def _from_planes(planes: np.ndarray) -> Content:
    rgb = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)
    return Content(np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0)), np.ascontiguousarray(planes, np.float32))


def data(source: Any, context: Context) -> Sequence[Entry] | None:
    """The bytes of a picture or video file."""
    if not isinstance(source, bytes | bytearray | memoryview):
        return None
    content = bytes(source)
    length = (lambda: None) if is_video(content[:HEAD]) else one
    return [Entry(partial(bytes_contents, content, f"{len(content)} bytes", context), None, length)]
