"""What the tiles of a picture show: objects seen whole, and objects put together from their parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.core.images import Size
from segkit.core.inference._comparing import SAME, compared, overlaps
from segkit.core.inference._placed import United, common
from segkit.core.inference._resample import Window
from segkit.core.inference._sightings import Sightings

WATCHED = 1 / 3
"""A part that is cut off must be confirmed by another tile where one looked at this share of its box or more."""

EDGE = 1 / 80
"""A box that comes this close to a border of its tile, as a share of the tile's side, may go on beyond it."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What the tiles of a picture show.

    Attributes:
        objects: each once.
        cut: (N,) whether it is put together from parts, so that some may be missing.
        doubtful: (N,) whether it is a part that another tile could have confirmed and has not.
    """

    objects: Sightings
    cut: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]


class Pool:
    """Sightings of tiles, placed one after the other: first those that are shown whole, then the parts."""

    def __init__(self, found: Sequence[tuple[Window, Sightings]], size: Size, iou: float, agnostic: bool) -> None:
        """`found` are the tiles of a picture of `size` with what they show; for the rest see `merging.merged`."""
        every = Sightings.joined([sightings for _, sightings in found])
        view = np.repeat(np.arange(len(found)), [len(sightings) for _, sightings in found])
        self._iou = iou
        self._windows = [window for window, _ in found]
        self._corners = np.array(self._windows, np.float32).reshape(-1, 4)
        cut = _cut(every.xyxy, self._corners[view], size)
        order = np.lexsort((-every.confidence, cut))
        self._every, self._view, self._cut = every[order], view[order], cut[order]
        self._class = np.zeros_like(view) if agnostic else self._every.classes
        self._confidence = self._every.confidence.copy()
        self._owner = np.full(len(every), -1)
        self._members: dict[int, list[int]] = {}
        for index in range(len(every)):
            self._place(index)

    def shown(self) -> Shown:
        """What has come of it."""
        boxes, masks, doubtful = [], [], []
        for owner, members in self._members.items():
            corners = self._every.xyxy[members]
            boxes.append(np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)]))
            parts = tuple(self._every.masks[member] for member in members)
            masks.append(parts[0] if len(parts) == 1 else United(parts))
            doubtful.append(len(parts) == 1 and self._cut[owner] and self._was_watched(owner))
        owners = np.fromiter(self._members, np.int64)
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        objects = Sightings(xyxy, self._confidence[owners], self._every.classes[owners], masks)
        return Shown(objects, self._cut[owners], np.array(doubtful, np.bool_))

    def _place(self, index: int) -> None:
        """Make the sighting an object of its own, a part of one, or nothing."""
        same = dict.fromkeys(int(self._owner[other]) for other in self._agreeing(index))
        whole = next((owner for owner in same if not self._cut[owner]), None)
        if whole is not None:
            self._confidence[whole] = max(self._confidence[whole], self._confidence[index])
            return
        members = sorted([index, *(member for owner in same for member in self._members.pop(owner))])
        self._owner[members] = members[0]
        self._members[members[0]] = members

    def _agreeing(self, index: int) -> Iterator[int]:
        """Sightings placed before, of other tiles, that are of the same object as far as both tiles look."""
        overlap = overlaps(self._every.xyxy[:index], self._every.xyxy[index])
        near = (overlap > 0) & (self._owner[:index] >= 0)
        near &= (self._class[:index] == self._class[index]) & (self._view[:index] != self._view[index])
        for other in np.flatnonzero(near).tolist():
            looked = common(self._windows[self._view[index]], self._windows[self._view[other]])
            part = bool(self._cut[index] and not self._cut[other])
            pixels = compared(self._every.masks[index], self._every.masks[other], looked, contained=part)
            if (pixels.contained if part else pixels.agreement) > SAME or (
                not self._cut[index] and overlap[other] > self._iou
            ):
                yield other

    def _was_watched(self, index: int) -> bool:
        """Whether another tile than its own looked at much of a sighting."""
        x1, y1, x2, y2 = self._every.xyxy[index]
        top, left, bottom, right = self._corners.T
        seen = np.maximum(np.minimum(right, x2) - np.maximum(left, x1), 0)
        seen *= np.maximum(np.minimum(bottom, y2) - np.maximum(top, y1), 0)
        seen[self._view[index]] = 0
        return bool(seen.max() >= WATCHED * (x2 - x1) * (y2 - y1))


def _cut(xyxy: NDArray[np.float32], windows: NDArray[np.float32], size: Size) -> NDArray[np.bool_]:
    """(N,): whether a box reaches a border of its window that is not one of the picture's."""
    top, left, bottom, right = windows.T
    x1, y1, x2, y2 = xyxy.T
    across, down = EDGE * (right - left), EDGE * (bottom - top)
    sides = (
        (left > 0) & (x1 < left + across),
        (top > 0) & (y1 < top + down),
        (right < size[1]) & (x2 > right - across),
        (bottom < size[0]) & (y2 > bottom - down),
    )
    cut: NDArray[np.bool_] = np.logical_or.reduce(sides)
    return cut
