"""Every picture of a data set decoded once, in threads: whether it can be, what it holds, and how it looks small."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture
from segkit.core.images.reading import read_picture
from segkit.core.notices import progress

TINY = 16
"""Side of the grey picture that near-identical pictures are told by."""

THREADS = min(os.cpu_count() or 1, 8)
"""Each holds a whole picture, which may be large."""


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """What decoding one picture showed.

    Attributes:
        digest: of its size and pixels: two files of one digest show the same, however they are stored. Empty if it
            cannot be decoded.
        tiny: (16, 16) uint8 grey: what it shows, whatever its size and compression.
        problem: why it cannot be decoded; empty if it can.
        small: the picture itself, made to fit, where it was asked for.
    """

    digest: bytes
    tiny: NDArray[np.uint8]
    problem: str = ""
    small: Picture | None = None


def look_at(paths: Iterable[Path], *, keep: Collection[Path] = (), side: int = 320) -> dict[Path, Look]:
    """Decode every picture once, with a progress bar.

    Args:
        paths: the pictures; one that is named twice is decoded once.
        keep: those that are kept, made to fit into a square.
        side: side of that square in pixels.
    """
    order = list(dict.fromkeys(paths))
    found: dict[Path, Look] = {}
    with (
        progress("looking at pictures", len(order), unit="pictures") as advance,
        ThreadPoolExecutor(max(min(THREADS, len(order)), 1)) as pool,
    ):
        waiting = {pool.submit(look, path, side if path in keep else 0): path for path in order}
        try:
            for done in as_completed(waiting):
                found[waiting[done]] = done.result()
                advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {path: found[path] for path in order}


def look(path: Path, side: int = 0) -> Look:
    """Decode one picture; it is kept, made to fit into a square of `side` pixels, unless that is 0."""
    try:
        picture = read_picture(path)
    except SourceError as error:
        return Look(b"", np.zeros((TINY, TINY), np.uint8), error.problem)
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    tiny = cv2.cvtColor(cv2.resize(picture, (TINY, TINY), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return Look(digest.digest(), tiny.astype(np.uint8, copy=False), "", _fitted(picture, side) if side else None)


def _fitted(picture: Picture, side: int) -> Picture:
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return small.astype(np.uint8, copy=False)
