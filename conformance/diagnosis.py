"""What is wrong with outputs that are wrong, in words: input in another form, or outputs in other terms.

Each known mistake is made on purpose with the reference; the one that leads to what the backend gives is its.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.conformance.compare import OUTPUTS
from segkit.core.backend import Anchors
from segkit.core.images import ImageBatch, Size

Floats = NDArray[np.floating[Any]]

NEARER = 0.5
"""A mistake explains the outputs if it leaves less than this share of their error."""


def _shifted(images: Floats, by: float) -> Floats:
    """The pixels half way to the next ones, the border repeated."""
    back = [
        np.concatenate([images[..., :1], images[..., :-1]], 3),
        np.concatenate([images[..., 1:], images[..., -1:]], 3),
    ]
    turned = (images + back[by > 0]) / 2
    up = [
        np.concatenate([turned[:, :, :1], turned[:, :, :-1]], 2),
        np.concatenate([turned[:, :, 1:], turned[:, :, -1:]], 2),
    ]
    found: Floats = ((turned + up[by > 0]) / 2).astype(np.float32)
    return found


_MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]

INPUTS: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        "red and blue are swapped": lambda images: images[:, ::-1],
        "pixels are 0..255, not divided by 255": lambda images: images * 255,
        "pixels are divided by 255 twice": lambda images: images / 255,
        "pixels are -1..1, not 0..1": lambda images: images * 2 - 1,
        "pixels are normalised by a mean and a spread": lambda images: (images - _MEAN) / _SPREAD,
        "the picture is half a pixel too far right and down": lambda images: _shifted(images, -0.5),
        "the picture is half a pixel too far left and up": lambda images: _shifted(images, 0.5),
        "the picture is mirrored": lambda images: images[..., ::-1],
    }
)
"""Mistakes in what a network is given."""


def input_fault(got: Anchors, batch: ImageBatch, compute: Callable[[ImageBatch], Anchors]) -> str | None:
    """Which mistake in the input leads to these outputs, None where none of the known ones does.

    Args:
        got: the backend's outputs.
        batch: what they were computed of.
        compute: the reference.
    """
    right = compute(batch)
    if any(getattr(got, name).shape != getattr(right, name).shape for name in OUTPUTS):
        return None
    found = {}
    for words, mistake in INPUTS.items():
        images = np.ascontiguousarray(mistake(batch.f32_nchw), np.float32)
        found[words] = _share_left(got, compute(ImageBatch.from_f32(images)), right)
    nearest = min(found, key=found.__getitem__)
    return nearest if found[nearest] < NEARER else None


def output_faults(got: Anchors, wanted: Anchors, size: Size) -> Iterator[str]:
    """Which outputs are the right ones in other terms, each in those that come nearest."""
    nearest: dict[str, tuple[float, str]] = {}
    for name, words, mistaken in _mistaken(wanted, size):
        given, right = getattr(got, name), getattr(wanted, name)
        if not given.shape == mistaken.shape == right.shape:
            continue
        # Near to the mistake by its own measure, too: to small numbers anything is nearer than to large ones.
        left, least = _error(given, mistaken), min(_error(given, right), _error(np.zeros_like(mistaken), mistaken))
        if left < NEARER * least and left < nearest.get(name, (math.inf, ""))[0]:
            nearest[name] = left, words
    for name, (_, words) in nearest.items():
        yield f"{name} look as if {words}"


def _share_left(got: Anchors, mistaken: Anchors, right: Anchors) -> float:
    """What a mistake leaves of the error, for the output that it explains least: one in the input is in all of them."""
    left, whole = (
        [_error(getattr(got, name), getattr(other, name)) for name in OUTPUTS] for other in (mistaken, right)
    )
    return max(one / (other or 1e-30) for one, other in zip(left, whole, strict=True))


def _error(got: Floats, wanted: Floats) -> float:
    # What is no number is as wrong as can be.
    return float(np.sqrt(np.nan_to_num(np.square(got.astype(np.float64) - wanted), nan=1e30).mean()))


def _mistaken(wanted: Anchors, size: Size) -> Iterator[tuple[str, str, Floats]]:
    x, y, w, h = wanted.boxes[:, 0], wanted.boxes[:, 1], wanted.boxes[:, 2], wanted.boxes[:, 3]
    sides = np.array([size[1], size[0], size[1], size[0]], np.float32)[:, None]
    yield "boxes", "they were x1 y1 x2 y2, not cx cy w h", np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    yield "boxes", "they were x1 y1 w h, not cx cy w h", np.stack([x - w / 2, y - h / 2, w, h], 1)
    yield "boxes", "they were divided by the sides of the input (0..1)", wanted.boxes / sides
    yield "boxes", "they were divided by the sides of the input twice", wanted.boxes / sides / sides
    yield "boxes", "they were multiplied by the sides of the input", wanted.boxes * sides
    scores = wanted.scores.clip(1e-7, 1 - 1e-7)
    yield "scores", "the sigmoid were missing", np.log(scores / (1 - scores))
    yield "scores", "the sigmoid were taken twice", 1 / (1 + np.exp(-wanted.scores))
    yield "prototypes", "their rows and columns were swapped", wanted.prototypes.swapaxes(2, 3)
